//! Processors, between receivers and exporters: [`workload`] names the two ends of each connection, [`service`] names the service that its
//! client meant, [`filter`] drops records, [`window`] aggregates records. All code is synchronous and runs on the runtime's task for the
//! processor. Only the look-ups of [`conntrack`], which would block, run on a thread of their own.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod conntrack;
pub mod filter;
mod holding;
mod known;
pub mod service;
mod slab;
#[cfg(test)]
mod testing;
pub mod window;
pub mod workload;

use longwave_pipeline::component::ProcessorFactory;

/// Every processor of this crate.
pub fn factories() -> Vec<ProcessorFactory> {
    vec![filter::factory(), service::factory(), window::factory(), workload::factory()]
}
