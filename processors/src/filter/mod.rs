//! Processor `filter`: keeps or drops records by port, address, event, role, name and measure. Dropped records and their traffic bytes are counted
//! under the reason `filtered`.
//!
//! A rule on events can drop the closes of connections whose opens it keeps. A later `window` processor would count these connections as
//! open forever. Such rules are refused in `metrics` pipelines ([`FilterProcessor::new`]).

mod config;
mod expression;
mod name_pattern;
mod processor;

#[cfg(test)]
mod tests;

pub use config::{FilterConfig, Rules};
pub use expression::{Expression, ExpressionError};
pub use name_pattern::{InvalidNamePattern, NamePattern};
pub use processor::FilterProcessor;

use longwave_pipeline::component::{
    About, DataKind, Factory, Processor, ProcessorFactory, Signal, Stability,
};

/// Creates the factory of `filter`.
pub fn factory() -> ProcessorFactory {
    let about = About {
        component_type: "filter",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Keeps or drops connection records by port, address, event, role, name and measure",
        signals: &[Signal::Metrics, Signal::Logs],
        flow: Some((DataKind::Records, DataKind::Records)),
    };
    Factory::new(about, |config: &FilterConfig, context| {
        FilterProcessor::new(config, &context).map(|processor| Box::new(processor) as Box<dyn Processor>)
    })
}
