//! Settings of `otlp_http`.

use longwave_config::Secret;
use longwave_pipeline::component::{ComponentConfig, Problems, Signal};
use schemars::JsonSchema;
use serde::de::MapAccess;
use serde::{Deserialize, Deserializer, Serialize};

use super::{ConnectionConfig, url};
use crate::otlp::section::{self, Section};
use crate::otlp::{ClientConfig, CompressionParams, SIGNALS, proxy};

/// Section of an `otlp_http` exporter.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(default)]
pub struct HttpConfig {
    /// Base URL. `/v1/metrics` or `/v1/logs` is appended.
    #[schemars(example = &"http://localhost:4318")]
    pub endpoint: String,
    /// Complete URL for metrics, instead of the base URL.
    #[schemars(example = &"https://example.com/otlp/v1/metrics")]
    pub metrics_endpoint: String,
    /// Complete URL for logs, instead of the base URL.
    #[schemars(example = &"https://example.com/otlp/v1/logs")]
    pub logs_endpoint: String,
    /// URL of a proxy for all requests. Otherwise `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` decide.
    #[serde(skip_serializing_if = "is_empty")]
    #[schemars(example = &"http://proxy:3128")]
    pub proxy_url: Secret,
    /// Format of the bodies: `proto` or `json`.
    pub encoding: String,
    /// Level of the compression.
    #[serde(skip_serializing_if = "CompressionParams::is_default")]
    pub compression_params: CompressionParams,
    /// Settings of connections, in the same map.
    #[serde(flatten)]
    pub connections: ConnectionConfig,
    /// Settings that both protocols have, in the same map.
    #[serde(flatten)]
    pub client: ClientConfig,
}

fn is_empty(secret: &Secret) -> bool {
    secret.expose().is_empty()
}

/// `encoding` for protobuf.
const PROTO: &str = "proto";
/// `encoding` for OTLP's JSON.
const JSON: &str = "json";

// === impl HttpConfig ===

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            metrics_endpoint: String::new(),
            logs_endpoint: String::new(),
            proxy_url: Secret::default(),
            encoding: PROTO.to_owned(),
            compression_params: CompressionParams::default(),
            connections: ConnectionConfig::default(),
            client: ClientConfig::default(),
        }
    }
}

/// Returns the keys of the section without those of [`ClientConfig`].
const fn own_keys() -> [&'static str; 18] {
    let mut keys = [""; 18];
    let own =
        ["endpoint", "metrics_endpoint", "logs_endpoint", "proxy_url", "encoding", "compression_params"];
    let mut index = 0;
    while index < keys.len() {
        keys[index] = if index < own.len() { own[index] } else { ConnectionConfig::KEYS[index - own.len()] };
        index += 1;
    }
    keys
}

impl Section for HttpConfig {
    const KEYS: &'static [&'static str] = &section::keys::<18, 26>(own_keys());

    fn client(&mut self) -> &mut ClientConfig {
        &mut self.client
    }

    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "endpoint" => self.endpoint = map.next_value()?,
            "metrics_endpoint" => self.metrics_endpoint = map.next_value()?,
            "logs_endpoint" => self.logs_endpoint = map.next_value()?,
            "proxy_url" => self.proxy_url = map.next_value()?,
            "encoding" => self.encoding = map.next_value()?,
            "compression_params" => self.compression_params = map.next_value()?,
            _ => return self.connections.read(key, map),
        }
        Ok(true)
    }
}

impl<'de> Deserialize<'de> for HttpConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        section::decode(deserializer)
    }
}

impl HttpConfig {
    /// Returns whether bodies are JSON.
    pub(super) fn is_json(&self) -> bool {
        self.encoding == JSON
    }

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
        if !self.proxy_url.expose().is_empty()
            && let Err(message) = proxy::parse(self.proxy_url.expose())
        {
            problems.at("proxy_url", message);
        }
        if ![PROTO, JSON].contains(&self.encoding.as_str()) {
            let message = format!("unknown value {:?} (valid values: [{PROTO} {JSON}])", self.encoding);
            problems.at("encoding", message);
        }
        self.client.compression.validate_level(self.compression_params.level, problems);
        self.connections.validate(problems);
        self.client.validate(false, problems);
    }

    fn extensions(&self) -> Vec<(&'static str, String)> {
        self.client.extensions()
    }
}
