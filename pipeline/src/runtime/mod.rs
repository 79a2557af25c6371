//! Runs components: makes a typed graph from a configuration ([`Plan`]), runs the graph ([`Runtime`]), delivers payloads, and publishes
//! the counters of the stages ([`Telemetry`]).
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
pub use run::{Changes, Runtime, RuntimeEnvironment, RuntimeError};
pub use telemetry::{
    LogConfig, LogEncoding, LogLevel, LogLoss, LogOutput, LogSampler, MetricConfig, MetricLevel,
    NextTelemetry, OtlpConfig, OtlpProtocol, PageAddress, ReaderConfig, ResourceChanges, Telemetry,
    TelemetryConfig, count_lost_message,
};
