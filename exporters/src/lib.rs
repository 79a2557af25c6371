//! Where records and windows go: OpenTelemetry receivers ([`otlp`]), the standard output ([`stdout`]), record files ([`record_file`]).
//!
//! An exporter encodes and makes one delivery attempt at a time; queue, retries and time limits are the runtime's.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod ordered_queue;
pub mod otlp;
pub mod record_file;
pub mod stdout;

use longwave_pipeline::component::ExporterFactory;

/// One factory for each exporter.
pub fn factories() -> Vec<ExporterFactory> {
    vec![otlp::grpc::factory(), otlp::http::factory(), stdout::factory(), record_file::factory()]
}
