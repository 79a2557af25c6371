//! Processor `memory_limiter`: refuses records while the process uses too much memory, with the settings of the Collector's processor.
//!
//! - Above the soft limit (`limit_mib` − `spike_limit_mib`) records are dropped as `memory_limit`. Above the soft limit, and at every check above
//!   `limit_mib`, the allocator is called to give free memory back.
//! - Watermarks pass, so that windows close. In a metrics pipeline the last record of a connection passes, too: it frees the memory of
//!   the connection, and without it `window` would count the connection as open forever.
//! - The processors of all pipelines with one id share one [`limiter`], so that the log has one line for all of them.

mod config;
mod limiter;
mod processor;

#[cfg(test)]
mod tests;

pub use config::MemoryLimiterConfig;
use longwave_pipeline::component::{
    About, DataKind, Factory, Processor, ProcessorFactory, Signal, Stability,
};
pub use processor::MemoryLimiterProcessor;

/// Creates the factory of `memory_limiter`.
pub fn factory() -> ProcessorFactory {
    let about = About {
        component_type: "memory_limiter",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Refuses records while the process uses too much memory",
        signals: &[Signal::Metrics, Signal::Logs],
        flow: Some((DataKind::Records, DataKind::Records)),
    };
    Factory::new(about, |config: &MemoryLimiterConfig, context| {
        MemoryLimiterProcessor::new(config, &context)
            .map(|processor| Box::new(processor) as Box<dyn Processor>)
    })
}
