//! Processor `batch`: sets how the exporters of its pipeline merge and split requests, with the settings of the Collector's processor.
//!
//! Batches pass unchanged. Requests are merged between an exporter's encoder and its queue ([`ComponentConfig::exporter_changes`]), so that
//! records are encoded once.

mod config;

#[cfg(test)]
mod tests;

pub use config::BatchProcessorConfig;
#[cfg(doc)]
use longwave_pipeline::component::ComponentConfig;
use longwave_pipeline::component::{
    About, DataKind, Factory, Processor, ProcessorFactory, Signal, Stability,
};

use crate::pass_through::PassThrough;

/// Creates the factory of `batch`.
pub fn factory() -> ProcessorFactory {
    let about = About {
        component_type: "batch",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Sets how exporters merge and split requests",
        signals: &[Signal::Metrics, Signal::Logs],
        flow: Some((DataKind::Any, DataKind::Any)),
    };
    Factory::new(about, |_: &BatchProcessorConfig, _| Ok(Box::new(PassThrough) as Box<dyn Processor>))
}
