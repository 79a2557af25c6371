//! Exporters send records and windows to OpenTelemetry servers ([`otlp`]), to Prometheus ([`prometheus`]), to the standard output
//! ([`stdout`]), to the log ([`debug`]), to files of OTLP requests ([`file`](mod@file)), to record files ([`record_file`]), to programs on
//! this host ([`live`]), and to browsers ([`page`]).
//!
//! An exporter encodes batches and makes one delivery attempt at a time. The runtime provides the queue, retries and time limits.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod append_file;
pub mod debug;
mod download;
pub mod file;
pub mod fit;
mod flows;
pub mod live;
pub mod names;
mod ordered_queue_config;
pub mod otlp;
pub mod page;
pub mod prometheus;
mod record_blocks;
pub mod record_file;
mod server_task;
pub mod stdout;
#[cfg(test)]
mod testing;
pub mod units;

pub use download::Downloads;

use longwave_pipeline::component::ExporterFactory;

/// Returns one factory for each exporter.
pub fn factories() -> Vec<ExporterFactory> {
    vec![
        otlp::grpc::factory(),
        otlp::http::factory(),
        prometheus::factory(),
        stdout::factory(),
        debug::factory(),
        file::factory(),
        record_file::factory(),
        live::factory(),
        page::factory(),
    ]
}
