//! Exporter `file`: writes OTLP requests to a file, as the Collector's exporter of this name does.
//!
//! - `format: json` without compression writes one request in OTLP's JSON per line. Otherwise each request has its length before it, in 4
//!   bytes, the highest first.
//! - A write that fails halfway (for example on a full disk) is undone before the retry, so that a reader never finds two requests on one
//!   line.
//! - The exporters of both signals with one id and the same settings share the file ([`output`]).
//! - [`rotation`] names backups and removes the oldest.

mod config;
mod framing;
mod output;
mod pusher;
mod rotation;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use longwave_pipeline::component::{About, Exporter, ExporterContext, ExporterFactory, Signal, Stability};

use crate::otlp::OtlpExporter;
use config::FileConfig;
use pusher::FilePusher;

/// Returns the factory of `file`.
pub fn factory() -> ExporterFactory {
    let about = About {
        component_type: "file",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Writes metrics and logs to a file as OTLP requests, in JSON lines or protobuf",
        signals: &[Signal::Metrics, Signal::Logs],
        flow: None,
    };
    ExporterFactory::new(about, |config: &FileConfig, context: ExporterContext| {
        Ok(exporter(config, &context))
    })
}

fn exporter(config: &FileConfig, context: &ExporterContext) -> Box<dyn Exporter> {
    let pusher = Arc::new(FilePusher::new(config, context));
    Box::new(OtlpExporter::new(context, &config.client(), pusher))
}
