//! Processor `workload`: who the two ends of each connection are.
//!
//! - The local end by the cgroup of its socket's owner: container, else systemd unit, else the cgroup's own name; the executable's name
//!   where the cgroup is the root and so tells nothing ([`cgroup`]).
//! - The peer by its own socket, if that is on this node too: the same addresses and ports, reversed ([`ends`]). Loopback addresses mean
//!   the same end only within one network namespace.
//!
//! What nobody can tell stays `unknown`. Names that records bring along (from a record file, from an earlier processor) are kept.
//!
//! A connection is looked up once; later records take the names from a cache, which its end frees.

pub mod cgroup;
mod config;
mod ends;
mod names;
mod processor;

#[cfg(test)]
mod tests;

pub use config::WorkloadConfig;
pub use processor::WorkloadProcessor;

use longwave_pipeline::component::{
    About, DataKind, Factory, Processor, ProcessorFactory, Signal, Stability,
};

/// Makes `workload`.
pub fn factory() -> ProcessorFactory {
    let about = About {
        component_type: "workload",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Names the workloads at both ends of each connection: container, systemd unit or process",
        signals: &[Signal::Metrics, Signal::Logs],
        flow: Some((DataKind::Records, DataKind::Records)),
    };
    Factory::new(about, |config: &WorkloadConfig, context| {
        Ok(Box::new(WorkloadProcessor::of_this_host(config, &context)?) as Box<dyn Processor>)
    })
}
