//! Self-telemetry: publishes the counters of every stage and the components' own metrics through the OpenTelemetry SDK.

mod config;
mod page;
mod process;
mod stages;

#[cfg(test)]
mod tests;

use opentelemetry::metrics::{Meter, MeterProvider, NoopMeterProvider};
use opentelemetry_otlp::{Protocol, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};

use crate::component::{Accounting, ComponentError, SdkReader};
pub use config::{
    LogConfig, LogEncoding, LogLevel, MetricConfig, MetricLevel, OtlpConfig, OtlpProtocol, PageAddress,
    ResourceChanges, TelemetryConfig,
};
use page::PageServer;

/// Running self-telemetry. Dropping it closes the Prometheus page.
pub struct Telemetry {
    /// `None` if self-telemetry is off, because the SDK logs an error for instruments without a reader.
    provider: Option<SdkMeterProvider>,
    page: Option<PageServer>,
    /// Address of the Prometheus page. `None` if self-telemetry is off.
    pub address: Option<std::net::SocketAddr>,
}

// === impl Telemetry ===

impl Telemetry {
    /// Starts the Prometheus page and the periodic export by OTLP, as configured.
    ///
    /// # Errors
    /// The address is not the default and cannot be bound, or the OTLP endpoint is invalid.
    pub async fn start(
        config: &MetricConfig,
        resource: &[(String, String)],
        accounting: &Accounting,
    ) -> Result<Self, ComponentError> {
        if config.level == MetricLevel::None {
            return Ok(Self { provider: None, page: None, address: None });
        }
        let attributes =
            resource.iter().map(|(key, value)| opentelemetry::KeyValue::new(key.clone(), value.clone()));
        let mut provider = SdkMeterProvider::builder()
            .with_resource(Resource::builder_empty().with_attributes(attributes).build());
        let reader = SdkReader::default();
        provider = provider.with_reader(reader.clone());
        if let Some(otlp) = &config.otlp {
            provider = provider.with_reader(otlp_reader(otlp)?);
        }
        let provider = provider.build();
        let meter = provider.meter("longwave");
        process::observe(&meter);
        stages::observe(&meter, accounting, config.level);
        let page = match PageServer::start(config.address.as_str(), reader).await {
            Ok(page) => Some(page),
            Err(error) if config.address.is_default() => {
                tracing::warn!("{error}; continuing without the page, since the address is the default");
                None
            }
            Err(error) => return Err(error),
        };
        let address = page.as_ref().map(|page| page.address);
        Ok(Self { provider: Some(provider), page, address })
    }

    /// Returns the meter with which components register their instruments.
    pub fn meter(&self) -> Meter {
        match &self.provider {
            Some(provider) => provider.meter("longwave"),
            None => NoopMeterProvider::new().meter("longwave"),
        }
    }

    /// Exports a last time and closes the Prometheus page.
    pub async fn shutdown(mut self) {
        if let Some(page) = self.page.take() {
            page.shutdown().await;
        }
        let Some(provider) = self.provider.take() else { return };
        let ended = tokio::task::spawn_blocking(move || provider.shutdown()).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "self-telemetry did not shut down cleanly: metrics since its last export may be missing");
        }
    }
}

fn otlp_reader(
    config: &OtlpConfig,
) -> Result<PeriodicReader<opentelemetry_otlp::MetricExporter>, ComponentError> {
    // The HTTP client panics without a default provider. The error means that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = match config.protocol {
        OtlpProtocol::Grpc => {
            opentelemetry_otlp::MetricExporter::builder().with_tonic().with_endpoint(&config.endpoint).build()
        }
        OtlpProtocol::HttpProtobuf => opentelemetry_otlp::MetricExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/metrics", config.endpoint.trim_end_matches('/')))
            .build(),
    };
    let exporter = exporter.map_err(|e| {
        let endpoint = &config.endpoint;
        ComponentError::with_source(
            format!("service::telemetry::metrics::otlp: endpoint: cannot use {endpoint:?} (write for example http://localhost:4317)"),
            e,
        )
    })?;
    Ok(PeriodicReader::builder(exporter).with_interval(config.interval.get()).build())
}
