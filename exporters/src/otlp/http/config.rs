//! Settings of `otlp_http`.

use longwave_pipeline::component::{ComponentConfig, Problems, Signal};
use serde::{Deserialize, Deserializer, Serialize};

use super::url;
use crate::otlp::{ClientConfig, SIGNALS, section};

/// Section of an `otlp_http` exporter.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HttpConfig {
    /// Base URL. `/v1/metrics` or `/v1/logs` is appended.
    pub endpoint: String,
    /// Complete URL for metrics, instead of the base URL.
    pub metrics_endpoint: String,
    /// Complete URL for logs, instead of the base URL.
    pub logs_endpoint: String,
    /// Settings that both protocols have, in the same map.
    #[serde(flatten)]
    pub client: ClientConfig,
}

static KEYS: [&str; 10] = section::keys(["endpoint", "metrics_endpoint", "logs_endpoint"]);

// === impl HttpConfig ===

impl<'de> Deserialize<'de> for HttpConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ([endpoint, metrics_endpoint, logs_endpoint], client) = section::decode(deserializer, &KEYS)?;
        Ok(Self { endpoint, metrics_endpoint, logs_endpoint, client })
    }
}

impl HttpConfig {
    /// Returns the key and the value of the signal's complete URL.
    pub(super) fn signal_endpoint(&self, signal: Signal) -> (&'static str, &str) {
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
        for (key, text) in SIGNALS.iter().map(|signal| self.signal_endpoint(*signal)) {
            if !text.is_empty()
                && let Err(message) = url::parse(text)
            {
                problems.at(key, message);
            }
        }
        self.client.validate(false, problems);
    }
}
