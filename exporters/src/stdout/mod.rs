//! Exporter `stdout`: a table for people, lines for people and `grep`, JSON for programs.
//!
//! One thread writes all payloads, whole and in order. A reader that does not read (`| less`) therefore blocks neither the pipeline nor
//! the process's exit. When the reader ends, the process ends. Only data is written to the standard output.

mod config;
mod exporter;
mod json;
mod screen;
mod table;
mod text;
mod writer;

#[cfg(test)]
mod tests;

use longwave_pipeline::component::{About, Exporter, ExporterContext, ExporterFactory, Signal, Stability};

use config::StdoutConfig;
use exporter::StdoutExporter;
pub(crate) use writer::Writer;

/// Returns the factory of `stdout`.
pub fn factory() -> ExporterFactory {
    let about = About {
        component_type: "stdout",
        aliases: &[],
        stability: Stability::Beta,
        description: "Writes a table, access-log lines or JSON to the standard output",
        signals: &[Signal::Metrics, Signal::Logs],
        flow: None,
    };
    ExporterFactory::new(about, |config: &StdoutConfig, context: ExporterContext| {
        Ok(Box::new(StdoutExporter::new(config, &context)?) as Box<dyn Exporter>)
    })
}

/// Returns the JSON lines of a window.
#[cfg(test)]
pub(crate) fn json_lines(window: &longwave_pipeline::model::Window) -> Vec<serde_json::Value> {
    let mut lines = Vec::new();
    window.series.iter().for_each(|series| json::series(window, series, &mut lines));
    serde_json::Deserializer::from_slice(&lines).into_iter().map(Result::unwrap).collect()
}
