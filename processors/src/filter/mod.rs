//! Processor `filter`: keeps or drops records by port, address, event and role. What it drops is counted, records and traffic bytes, under
//! the reason `filtered`.
//!
//! A rule on events ahead of a `window` processor can hide the ends of connections whose beginnings it lets through; they would count as
//! open until `window` gives them up. Such rules are refused in `metrics` pipelines ([`FilterProcessor::new`]).

mod config;
mod processor;

#[cfg(test)]
mod tests;

pub use config::{EventName, FilterConfig, RoleName, Rules};
pub use processor::FilterProcessor;

use longwave_pipeline::component::{
    About, DataKind, Factory, Processor, ProcessorFactory, Signal, Stability,
};

/// Makes `filter`.
pub fn factory() -> ProcessorFactory {
    let about = About {
        component_type: "filter",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Keeps or drops connection records by port, address, event and role",
        signals: &[Signal::Metrics, Signal::Logs],
        flow: Some((DataKind::Records, DataKind::Records)),
    };
    Factory::new(about, |config: &FilterConfig, context| {
        FilterProcessor::new(config, &context).map(|processor| Box::new(processor) as Box<dyn Processor>)
    })
}
