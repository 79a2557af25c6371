//! Makes a [`Plan`] from a [`longwave_config::Document`]: checks the configuration of every component, resolves references, and checks
//! the type of data between components.
//!
//! A plan starts nothing. [`crate::runtime::Runtime`] runs it.

mod changes;
mod check;
mod fingerprint;
mod placement;
mod plan;

#[cfg(test)]
mod tests;

pub(super) use fingerprint::Fingerprint;
pub use plan::{Plan, PlannedExporter, PlannedExtension, PlannedPipeline, PlannedProcessor, PlannedReceiver};
