//! Exporter `debug`: shows what OTLP exporters would send, as the Collector's exporter of this name does.
//!
//! - `verbosity: basic` has one line for each request with its counts. `normal` adds about one line for each point or log record, and
//!   `detailed` all fields.
//! - The text goes to Longwave's log, or to the standard output with `use_internal_logger: false`.
//! - Control characters in names are escaped, so that a name cannot look like a line of the log. The Collector does not do that.

mod config;
mod detailed;
mod format;
mod normal;
mod pusher;
mod sampler;
mod summary;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use longwave_pipeline::component::{About, Exporter, ExporterContext, ExporterFactory, Signal, Stability};

use crate::otlp::OtlpExporter;
use config::DebugConfig;
use pusher::DebugPusher;

/// Returns the factory of `debug`.
pub fn factory() -> ExporterFactory {
    let about = About {
        component_type: "debug",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Shows the OTLP requests of metrics and logs in the log or on the standard output",
        signals: &[Signal::Metrics, Signal::Logs],
        flow: None,
    };
    ExporterFactory::new(about, |config: &DebugConfig, context: ExporterContext| {
        let pusher = Arc::new(DebugPusher::new(config, &context));
        Ok(Box::new(OtlpExporter::new(&context, &config.client(), pusher)) as Box<dyn Exporter>)
    })
}
