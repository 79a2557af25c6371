//! Processors, which run between receivers and exporters: [`workload`] names the two ends of each connection, [`service`] names the service
//! that its client connected to, [`filter`] drops records, [`resource`] and [`attributes`] change the exported resource and the
//! attributes, [`batch`] sets the size of requests, [`memory_limiter`] refuses records, [`window`] aggregates records. All code is synchronous
//! and runs on the runtime's task for the processor. Only the look-ups of [`conntrack`] run on a thread of their own, because they block.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod attributes;
pub mod batch;
mod connection_map;
pub mod conntrack;
pub mod filter;
mod holding;
pub mod memory_limiter;
mod pass_through;
pub mod resource;
pub mod service;
mod slab;
#[cfg(test)]
mod testing;
pub mod window;
pub mod workload;

use longwave_pipeline::component::ProcessorFactory;

/// Returns the factories of all processors of this crate.
pub fn factories() -> Vec<ProcessorFactory> {
    vec![
        attributes::factory(),
        batch::factory(),
        filter::factory(),
        memory_limiter::factory(),
        resource::factory(),
        service::factory(),
        window::factory(),
        workload::factory(),
    ]
}
