//! `prometheus` serves the windows' sums at `/metrics`, for Prometheus to scrape.
//!
//! ```text
//! windows ──► store: sums since creation, by labels ──► snapshot ──► page in the format that the client accepts
//! ```
//!
//! - [`names`] determines which metrics there are, and the labels of a series: OpenTelemetry's names, or those of Istio or Kmesh.
//! - `store` adds up windows. Series with equal labels are one series of the page. A counter never decreases while its series exists.
//! - `endpoint` answers scrapes. A scrape only locks the store while it copies the sums.

mod config;
mod endpoint;
mod exporter;
mod names;
mod store;

#[cfg(test)]
mod tests;

pub use config::{Naming, PrometheusConfig, TranslationStrategy};

use longwave_pipeline::component::{About, Exporter, ExporterFactory, Factory, Signal, Stability};

use exporter::PrometheusExporter;

/// Returns the factory of `prometheus`.
pub fn factory() -> ExporterFactory {
    let about = About {
        component_type: "prometheus",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Serves windows for Prometheus to scrape, with OpenTelemetry's, Istio's or Kmesh's names",
        signals: &[Signal::Metrics],
        flow: None,
    };
    Factory::new(about, |config: &PrometheusConfig, context| {
        Ok(Box::new(PrometheusExporter::new(config, &context)) as Box<dyn Exporter>)
    })
}
