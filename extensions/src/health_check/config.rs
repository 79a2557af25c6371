//! Configuration of `health_check`.

use longwave_pipeline::component::{ComponentConfig, Problems, ServerTlsConfig, exclusive_port};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The section `extensions::health_check`. Keys and defaults are the Collector's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct HealthCheckConfig {
    /// `host:port` to listen on.
    pub endpoint: String,
    /// Path of the endpoint. `/` is every path.
    pub path: String,
    /// Texts that replace the JSON of responses. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_body: Option<ResponseBodyConfig>,
    /// Serves HTTPS. Default: HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTlsConfig>,
}

/// Texts that replace the JSON of responses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct ResponseBodyConfig {
    /// Body of a response with status 200.
    #[schemars(example = &"OK")]
    pub healthy: String,
    /// Body of a response with status 503. The reasons are only logged then.
    #[schemars(example = &"FAILING")]
    pub unhealthy: String,
}

// === impl HealthCheckConfig ===

impl Default for HealthCheckConfig {
    fn default() -> Self {
        Self { endpoint: "localhost:13133".to_owned(), path: "/".to_owned(), response_body: None, tls: None }
    }
}

impl ComponentConfig for HealthCheckConfig {
    fn exclusive(&self) -> Vec<String> {
        exclusive_port(&self.endpoint)
    }

    fn validate(&self, problems: &mut Problems) {
        if !self.endpoint.contains(':') {
            problems.at("endpoint", "must be host:port, for example localhost:13133");
        }
        if !self.path.starts_with('/') {
            problems.at("path", "must start with /, for example /health");
        }
        if let Some(tls) = &self.tls {
            tls.validate(problems);
        }
    }
}
