//! Exporter `page`: a web page with the flows of the last window, as a map, as a table, and in detail.
//!
//! ```text
//! windows ──► state: the last window, and the history of each flow ──► render: HTML ──► server: the page, and /events for each new window
//! ```
//!
//! The page needs no script: a browser without scripts loads it again every few seconds. The script replaces the content of the page with
//! what `/events` sends, which is the same HTML. Nothing is rendered while no browser is connected.

mod config;
mod exporter;
mod guard;
mod history;
mod query;
mod render;
mod server;
mod state;
mod window;

#[cfg(test)]
mod tests;

use longwave_pipeline::component::{About, Exporter, ExporterFactory, Factory, Signal, Stability};

use config::PageConfig;
use exporter::PageExporter;

/// Returns the factory of `page`.
pub fn factory() -> ExporterFactory {
    let about = About {
        component_type: "page",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Serves a web page with the map and the table of the flows of the last window",
        signals: &[Signal::Metrics],
        flow: None,
    };
    Factory::new(about, |config: &PageConfig, context| {
        Ok(Box::new(PageExporter::new(config, &context)) as Box<dyn Exporter>)
    })
}
