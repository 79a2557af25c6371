//! What runs components: a configuration becomes a typed graph ([`Plan`]), the graph runs ([`Runtime`]), payloads are delivered, and
//! the stages' counters are published ([`Telemetry`]).
//!
//! Depends on [`crate::component`] and [`crate::model`].

mod delivery;
mod graph;
mod run;
mod stage;
mod telemetry;
#[cfg(test)]
mod testing;

pub use graph::{
    Plan, PlannedExporter, PlannedExtension, PlannedPipeline, PlannedProcessor, PlannedReceiver,
};
pub use run::{Runtime, RuntimeEnvironment, RuntimeError};
pub use telemetry::{
    LogConfig, LogEncoding, LogLevel, MetricConfig, MetricLevel, OtlpConfig, OtlpProtocol, Telemetry,
    TelemetryConfig,
};
