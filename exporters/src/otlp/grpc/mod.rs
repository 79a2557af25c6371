//! `otlp_grpc`.

mod connect;
mod endpoint;
mod passthrough;
mod pusher;
pub mod status;

#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod status_tests;

pub use pusher::GrpcPusher;

use std::sync::Arc;

use longwave_config::GoDuration;
use longwave_pipeline::component::{
    About, ComponentConfig, DeliveryConfig, ExporterFactory, Problems, QueueConfig, RetryConfig, Stability,
};
use serde::{Deserialize, Serialize};

use super::exporter::OtlpExporter;
use super::settings::validate_headers;
use super::{Compression, Headers, SIGNALS, Temporality, TlsSettings};
use endpoint::GrpcEndpoint;

/// The section of an `otlp_grpc` exporter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GrpcConfig {
    /// `host:port`; `http://` or `https://` before it say whether to use TLS.
    pub endpoint: String,
    /// TLS.
    pub tls: TlsSettings,
    /// Metadata of every request.
    pub headers: Headers,
    /// Compression of requests.
    pub compression: Compression,
    /// Time limit of one attempt; zero: none.
    pub timeout: GoDuration,
    /// Retries.
    pub retry_on_failure: RetryConfig,
    /// Queue.
    pub sending_queue: QueueConfig,
    /// What sums mean.
    pub temporality: Temporality,
}

/// The factory of `otlp_grpc`.
pub fn factory() -> ExporterFactory {
    let about = About {
        component_type: "otlp_grpc",
        aliases: &["otlp"],
        stability: Stability::Beta,
        description: "Sends metrics and logs by OTLP over gRPC",
        signals: SIGNALS,
        flow: None,
    };
    ExporterFactory::new(about, |config: &GrpcConfig, context| {
        let pusher = GrpcPusher::new(config, &context.id, context.signal)?;
        let delivery = DeliveryConfig {
            timeout: config.timeout.get(),
            retry: config.retry_on_failure.clone(),
            queue: config.sending_queue.clone(),
        };
        Ok(Box::new(OtlpExporter::new(&context, config.temporality, delivery, Arc::new(pusher))))
    })
}

// === impl GrpcConfig ===

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            tls: TlsSettings::default(),
            headers: Headers::new(),
            compression: Compression::default(),
            timeout: GoDuration::from_secs(5),
            retry_on_failure: RetryConfig::default(),
            sending_queue: QueueConfig::default(),
            temporality: Temporality::default(),
        }
    }
}

impl ComponentConfig for GrpcConfig {
    fn validate(&self, problems: &mut Problems) {
        if let Err(message) = GrpcEndpoint::parse(&self.endpoint, self.tls.insecure) {
            problems.at("endpoint", message);
        }
        self.tls.validate(problems);
        validate_headers(&self.headers, true, problems);
        self.retry_on_failure.validate(problems);
        self.sending_queue.validate(problems);
    }
}
