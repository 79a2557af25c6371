//! Processor `workload`: who the two ends of each connection are.
//!
//! Sources are asked in their order; the first that knows counts ([`sources`]).
//! - The local end by the cgroup of its socket's owner, so that pods of the host's network and whatever else shares an address are told
//!   apart: extensions by the container's or pod's id in its path; the built-in `cgroup` by the path itself: container, else systemd unit,
//!   else the cgroup's own name. Where the cgroup tells nothing (the root's, one that is gone): extensions by the local address, `cgroup`
//!   by the executable's name.
//! - The peer by its own socket, if that is on this node too: the same addresses and ports, reversed, or what connection tracking makes of
//!   them ([`ends`]). Loopback addresses mean the same end only within one network namespace.
//! - Else the peer by its address, behind the translation if there is one, as of the connection's start: an address does not change hands
//!   while a connection lives. A start that is not known is taken to be the first observation.
//!
//! What nobody can tell stays `unknown`: so does a client behind a masquerade that this node did not make. Names that records bring along
//! (from a record file, from an earlier processor) are kept.
//!
//! A connection is looked up once; later records take the names from a cache, which its end frees. What is missing, and what a cgroup is
//! called, is asked for again when a source has news. Until then a first name of a source that counts less is taken.
//!
//! Records whose names are on their way wait for a while ([`crate::holding`]): those of connections with a pending answer, and a close whose
//! peer is on this node and has not been heard of: ends that close together may come in two batches.

pub mod cgroup;
mod config;
mod ends;
mod found;
mod names;
mod processor;
mod sources;

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
        description: "Names the workloads at both ends of each connection: by extensions, container, systemd unit or process",
        signals: &[Signal::Metrics, Signal::Logs],
        flow: Some((DataKind::Records, DataKind::Records)),
    };
    Factory::new(about, |config: &WorkloadConfig, context| {
        Ok(Box::new(WorkloadProcessor::of_this_host(config, &context)?) as Box<dyn Processor>)
    })
}
