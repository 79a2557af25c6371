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
    About, DataKind, Factory, Processor, ProcessorFactory, Signal, Stability,
};

use crate::pass_through::PassThrough;

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
    Factory::new(about, |_: &ResourceConfig, _| Ok(Box::new(PassThrough) as Box<dyn Processor>))
}
