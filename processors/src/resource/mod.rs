//! Processor `resource`: changes the attributes of the resource that the pipeline's exporters send.
//!
//! Everything that Longwave exports has one resource, the process itself. So the changes are applied when the exporters are created
//! ([`ComponentConfig::exporter_changes`]), and batches pass unchanged.

mod config;

#[cfg(test)]
mod tests;

pub use config::ResourceConfig;
#[cfg(doc)]
use longwave_pipeline::component::ComponentConfig;
use longwave_pipeline::component::{
    About, ComponentError, DataKind, Factory, Processor, ProcessorFactory, Signal, Stability,
};
use longwave_pipeline::model::Batch;

/// Passes batches on.
struct ResourceProcessor;

/// Creates the factory of `resource`.
pub fn factory() -> ProcessorFactory {
    let about = About {
        component_type: "resource",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Adds, replaces or removes attributes of the exported resource",
        signals: &[Signal::Metrics, Signal::Logs],
        flow: Some((DataKind::Any, DataKind::Any)),
    };
    Factory::new(about, |_: &ResourceConfig, _| Ok(Box::new(ResourceProcessor) as Box<dyn Processor>))
}

// === impl ResourceProcessor ===

impl Processor for ResourceProcessor {
    fn process(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        out.push(batch);
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        Ok(())
    }
}
