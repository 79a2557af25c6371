//! Where records and windows go: OpenTelemetry receivers ([`otlp`]).
//!
//! An exporter encodes and makes one delivery attempt at a time; queue, retries and time limits are the runtime's.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod otlp;

use longwave_pipeline::component::ExporterFactory;

/// One factory for each exporter.
pub fn factories() -> Vec<ExporterFactory> {
    vec![otlp::grpc::factory(), otlp::http::factory()]
}
