//! What Longwave reports of itself: every stage's counters and the components' own measurements, through the OpenTelemetry SDK.

mod config;
mod page;
mod stages;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use opentelemetry::metrics::{Meter, MeterProvider, NoopMeterProvider};
use opentelemetry_otlp::{Protocol, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};

use crate::component::{Accounting, ComponentError};
pub use config::{
    LogConfig, LogEncoding, LogLevel, MetricConfig, MetricLevel, OtlpConfig, OtlpProtocol, TelemetryConfig,
};

/// Running self-telemetry. Dropping it ends the page.
pub struct Telemetry {
    /// Absent if it is off: the SDK calls an instrument that nobody reads an error.
    provider: Option<SdkMeterProvider>,
    page: Option<tokio::task::JoinHandle<()>>,
    /// Where the page listens; absent if it is off.
    pub address: Option<std::net::SocketAddr>,
}

// === impl Telemetry ===

impl Telemetry {
    /// Binds the page and starts the periodic export, as far as they are configured.
    ///
    /// # Errors
    /// The address cannot be bound, or the OTLP endpoint makes no sense.
    pub async fn start(
        settings: &MetricConfig,
        resource: &[(String, String)],
        accounting: &Accounting,
    ) -> Result<Self, ComponentError> {
        if settings.level == MetricLevel::None {
            return Ok(Self { provider: None, page: None, address: None });
        }
        let attributes =
            resource.iter().map(|(key, value)| opentelemetry::KeyValue::new(key.clone(), value.clone()));
        let mut provider = SdkMeterProvider::builder()
            .with_resource(Resource::builder_empty().with_attributes(attributes).build());
        let registry = prometheus::Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_counter_suffixes()
            .without_units()
            .without_target_info()
            .build()
            .map_err(|e| {
                ComponentError::with_source(
                    "service::telemetry::metrics: cannot make the Prometheus reader",
                    e,
                )
            })?;
        provider = provider.with_reader(exporter);
        if let Some(otlp) = &settings.otlp {
            provider = provider.with_reader(otlp_reader(otlp)?);
        }
        let provider = provider.build();
        stages::observe(&provider.meter("longwave"), accounting, settings.level);
        let (page, address) = page::serve(&settings.address, Arc::new(registry)).await?;
        Ok(Self { provider: Some(provider), page: Some(page), address: Some(address) })
    }

    /// Where components register their measurements.
    pub fn meter(&self) -> Meter {
        match &self.provider {
            Some(provider) => provider.meter("longwave"),
            None => NoopMeterProvider::new().meter("longwave"),
        }
    }

    /// Sends what is due and ends the page. Safe to call once; blocking work runs elsewhere.
    pub async fn shutdown(mut self) {
        if let Some(page) = self.page.take() {
            page.abort();
            // Its socket is closed only now: a reload listens there again at once.
            let _ = page.await;
        }
        let Some(provider) = self.provider.take() else { return };
        let ended = tokio::task::spawn_blocking(move || provider.shutdown()).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "self-telemetry did not shut down cleanly: what it measured since its last export may be missing");
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(page) = &self.page {
            page.abort();
        }
    }
}

fn otlp_reader(
    settings: &OtlpConfig,
) -> Result<PeriodicReader<opentelemetry_otlp::MetricExporter>, ComponentError> {
    // The HTTP client panics without one. An error says that there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = match settings.protocol {
        OtlpProtocol::Grpc => opentelemetry_otlp::MetricExporter::builder()
            .with_tonic()
            .with_endpoint(&settings.endpoint)
            .build(),
        OtlpProtocol::HttpProtobuf => opentelemetry_otlp::MetricExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/metrics", settings.endpoint.trim_end_matches('/')))
            .build(),
    };
    let exporter = exporter.map_err(|e| {
        let endpoint = &settings.endpoint;
        ComponentError::with_source(
            format!("service::telemetry::metrics::otlp: endpoint: cannot use {endpoint:?} (write for example http://localhost:4317)"),
            e,
        )
    })?;
    Ok(PeriodicReader::builder(exporter).with_interval(settings.interval.get()).build())
}
