//! `otlp_http`.

mod answer;
mod pusher;
mod url;

#[cfg(test)]
mod answer_tests;
#[cfg(test)]
mod settings_tests;

pub use answer::is_retryable;
pub use pusher::HttpPusher;

use std::sync::Arc;

use longwave_config::GoDuration;
use longwave_pipeline::component::{
    About, ComponentConfig, DeliveryConfig, ExporterFactory, Problems, QueueConfig, RetryConfig, Signal,
    Stability,
};
use serde::{Deserialize, Serialize};

use super::exporter::OtlpExporter;
use super::settings::validate_headers;
use super::{Compression, Headers, SIGNALS, Temporality, TlsSettings};

/// The section of an `otlp_http` exporter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpConfig {
    /// Base URL; `/v1/metrics` or `/v1/logs` is appended.
    pub endpoint: String,
    /// The whole URL for metrics, instead of the base.
    pub metrics_endpoint: String,
    /// The whole URL for logs, instead of the base.
    pub logs_endpoint: String,
    /// TLS, for `https://` URLs.
    pub tls: TlsSettings,
    /// Headers of every request.
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

/// The factory of `otlp_http`.
pub fn factory() -> ExporterFactory {
    let about = About {
        component_type: "otlp_http",
        aliases: &["otlphttp"],
        stability: Stability::Beta,
        description: "Sends metrics and logs by OTLP over HTTP, as protobuf",
        signals: SIGNALS,
        flow: None,
    };
    ExporterFactory::new(about, |config: &HttpConfig, context| {
        let pusher = HttpPusher::new(config, &context.id, context.signal)?;
        let delivery = DeliveryConfig {
            timeout: config.timeout.get(),
            retry: config.retry_on_failure.clone(),
            queue: config.sending_queue.clone(),
        };
        Ok(Box::new(OtlpExporter::new(&context, config.temporality, delivery, Arc::new(pusher))))
    })
}

// === impl HttpConfig ===

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            metrics_endpoint: String::new(),
            logs_endpoint: String::new(),
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

impl HttpConfig {
    fn own_endpoint(&self, signal: Signal) -> (&'static str, &str) {
        match signal {
            Signal::Metrics => ("metrics_endpoint", &self.metrics_endpoint),
            Signal::Logs => ("logs_endpoint", &self.logs_endpoint),
        }
    }
}

impl ComponentConfig for HttpConfig {
    fn validate(&self, problems: &mut Problems) {
        if [&self.endpoint, &self.metrics_endpoint, &self.logs_endpoint].iter().all(|text| text.is_empty()) {
            problems.at("endpoint", "must be set (write for example http://localhost:4318)");
        }
        if !self.endpoint.is_empty()
            && let Err(message) = url::base(&self.endpoint)
        {
            problems.at("endpoint", message);
        }
        for (key, text) in SIGNALS.iter().map(|signal| self.own_endpoint(*signal)) {
            if !text.is_empty()
                && let Err(message) = url::parse(text)
            {
                problems.at(key, message);
            }
        }
        self.tls.validate(problems);
        validate_headers(&self.headers, false, problems);
        self.retry_on_failure.validate(problems);
        self.sending_queue.validate(problems);
    }
}
