//! Settings that both protocols share.

use std::collections::BTreeMap;

use longwave_config::{GoDuration, Secret};
use longwave_pipeline::component::{
    ComponentError, DeliveryConfig, ExporterContext, Problems, QueueConfig, RetryConfig, is_protocol_header,
};
use serde::{Deserialize, Serialize};

use super::auth_config::AUTHENTICATOR;
use super::headers;
use super::{AuthConfig, Compression, TlsConfig};

/// Settings of an OTLP client, apart from its endpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientConfig {
    /// TLS.
    pub tls: TlsConfig,
    /// Headers (gRPC: metadata) of every request.
    #[serde(deserialize_with = "headers::deserialize")]
    pub headers: Headers,
    /// Authentication of every request. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthConfig>,
    /// Compression of requests.
    pub compression: Compression,
    /// Time limit of one attempt; zero: none.
    pub timeout: GoDuration,
    /// Retries.
    pub retry_on_failure: RetryConfig,
    /// Queue.
    pub sending_queue: QueueConfig,
    /// Temporality of sums and histograms.
    pub temporality: Temporality,
}

/// Which time a sum covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Temporality {
    /// The window.
    Delta,
    /// The time since the series was created. Prometheus and systems derived from it accept nothing else.
    #[default]
    Cumulative,
}

/// Headers of every request. Values are secrets.
pub type Headers = BTreeMap<String, Secret>;

// === impl ClientConfig ===

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            tls: TlsConfig::default(),
            headers: Headers::new(),
            auth: None,
            compression: Compression::default(),
            timeout: GoDuration::from_secs(5),
            retry_on_failure: RetryConfig::default(),
            sending_queue: QueueConfig::default(),
            temporality: Temporality::default(),
        }
    }
}

impl ClientConfig {
    /// Keys of the section, in the order of the fields.
    pub(super) const KEYS: [&'static str; 8] = [
        "tls",
        "headers",
        "auth",
        "compression",
        "timeout",
        "retry_on_failure",
        "sending_queue",
        "temporality",
    ];

    /// Reports invalid settings. With `grpc`, binary metadata is refused too.
    pub(super) fn validate(&self, grpc: bool, problems: &mut Problems) {
        if grpc && !matches!(self.compression, Compression::Gzip | Compression::Zstd | Compression::None) {
            problems.at("compression", "is not supported over gRPC (valid values: [gzip zstd none])");
        }
        self.tls.validate(problems);
        validate_headers(&self.headers, grpc, problems);
        if let Some(auth) = &self.auth {
            auth.validate(problems);
        }
        DeliveryConfig::validate_timeout(self.timeout, problems);
        self.retry_on_failure.validate(problems);
        self.sending_queue.validate(problems);
    }

    /// Returns the extensions that the exporter uses, as [`ComponentConfig::extensions`] does.
    ///
    /// [`ComponentConfig::extensions`]: longwave_pipeline::component::ComponentConfig::extensions
    pub(super) fn extensions(&self) -> Vec<(&'static str, String)> {
        let id = self.auth.as_ref().map(|auth| auth.authenticator.clone()).filter(|id| !id.is_empty());
        id.map(|id| (AUTHENTICATOR, id)).into_iter().chain(self.sending_queue.extension()).collect()
    }

    /// Reports that a processor sets the size of requests in another way.
    ///
    /// # Errors
    /// Which of the two settings to remove.
    pub(super) fn check_batch(&self, context: &ExporterContext) -> Result<(), ComponentError> {
        match (self.sending_queue.batch, context.batch) {
            (Some(own), Some(processor)) if own != processor => Err(ComponentError::new(format!(
                "exporters::{}: sending_queue::batch: differs from the processor batch of the pipeline: remove one of them",
                context.id
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn delivery(&self) -> DeliveryConfig {
        DeliveryConfig {
            timeout: self.timeout.get(),
            retry: self.retry_on_failure.clone(),
            queue: self.sending_queue.clone(),
        }
    }

    /// Returns the headers to send, without those that [`ClientConfig::validate`] refuses.
    pub(super) fn header_map(&self) -> ::http::HeaderMap {
        let pairs = self.headers.iter().filter_map(|(name, value)| {
            let name = ::http::HeaderName::from_bytes(name.as_bytes()).ok()?;
            let mut value = ::http::HeaderValue::from_str(value.expose()).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        pairs.collect()
    }
}

/// Reports headers that cannot be sent.
fn validate_headers(headers: &Headers, grpc: bool, problems: &mut Problems) {
    for (name, value) in headers {
        let key = format!("headers::{name}");
        if ::http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            problems.at(key, "is not a header name (use letters, digits and -)");
        } else if ::http::HeaderValue::from_str(value.expose()).is_err() {
            problems.at(
                key,
                "the value has characters that are invalid in a header (a line break at the end of a file?)",
            );
        } else if is_protocol_header(name) {
            problems.at(key, "is set by the protocol and cannot be chosen");
        } else if grpc && name.to_ascii_lowercase().ends_with("-bin") {
            problems.at(key, "binary metadata (-bin) is not supported");
        }
    }
}
