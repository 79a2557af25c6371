//! Processor `attributes`: changes the attributes of series or log records, with the actions of the Collector's processor.
//!
//! - In a metrics pipeline it runs after `window`. Series whose attributes become equal become one series ([`merged_series`]), and their points
//!   count as folded.
//! - In a logs pipeline batches pass unchanged, because records have no attributes yet. Exporters apply the actions when they encode a record
//!   ([`ComponentConfig::exporter_changes`]).

mod config;
mod merged_series;
mod processor;

#[cfg(test)]
mod tests;

pub use config::AttributesConfig;
#[cfg(doc)]
use longwave_pipeline::component::ComponentConfig;
use longwave_pipeline::component::{
    About, DataKind, Factory, Processor, ProcessorFactory, Signal, Stability,
};
pub use processor::AttributesProcessor;

/// Creates the factory of `attributes`.
pub fn factory() -> ProcessorFactory {
    let about = About {
        component_type: "attributes",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Adds, replaces or removes attributes of series and log records",
        signals: &[Signal::Metrics, Signal::Logs],
        flow: Some((DataKind::Exported, DataKind::Exported)),
    };
    Factory::new(about, |config: &AttributesConfig, context| {
        AttributesProcessor::new(config, &context).map(|processor| Box::new(processor) as Box<dyn Processor>)
    })
}
