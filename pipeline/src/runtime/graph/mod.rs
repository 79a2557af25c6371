//! From a [`longwave_config::Document`] to a [`Plan`]: every component's settings checked, every reference resolved, every edge typed.
//! A plan starts nothing; [`crate::runtime::Runtime`] does.

mod check;
mod plan;

#[cfg(test)]
mod tests;

pub use plan::{Plan, PlannedExporter, PlannedExtension, PlannedPipeline, PlannedProcessor, PlannedReceiver};
