//! What stands between receivers and exporters: [`workload`] names the ends of each connection, [`service`] what its client meant to
//! reach, [`filter`] drops records, [`window`] turns records into windows. Everything here is plain, synchronous code that runs on the
//! task that the runtime gives it; what would make it wait ([`conntrack`]) is done by a thread of its own.
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
