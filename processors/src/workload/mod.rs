//! Processor `workload`: names the workloads at the two ends of each connection.
//!
//! The sources are queried in their order, and the first name is used ([`sources`]).
//! - The local end is resolved by the cgroup of its socket's owner. This distinguishes pods in the host's network, and other workloads that
//!   share an address. Extensions look up the container's or pod's id in the cgroup's path. The built-in `cgroup` reads the path itself:
//!   container, otherwise systemd unit, otherwise the cgroup's own name. If the cgroup has no name (it is the root, or its path is unknown),
//!   extensions look up the local address, and `cgroup` uses the executable's name.
//! - The peer is resolved by its own socket, if that is on this node too. The two sockets have the same addresses and ports, reversed, or
//!   connection tracking translates them ([`ends`]). Loopback addresses match only within one network namespace.
//! - Otherwise the peer is resolved by its address, after translation. The address is looked up as of the connection's start, because it
//!   belongs to the same workload while the connection is open. If the start is not known, the time of the first observation is used.
//!
//! A name that no source has stays `unknown`. So does a client that another node masquerades. Names that the record already has (from a
//! record file, or from an earlier processor) are kept.
//!
//! A connection is looked up once. Later records get the names from a cache, until the connection closes. When a source has changed,
//! missing names and the names of cgroups are looked up again, and when a workload was renamed, the names of addresses too. Until then, the
//! name of a source of lower precedence is used.
//!
//! Records whose names are pending wait for a while ([`crate::holding`]). A close also waits if its peer is on this node and has no record
//! yet, because the two ends of a connection close at nearly the same time, and their records may be in two batches.

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

/// Creates the factory of `workload`.
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
