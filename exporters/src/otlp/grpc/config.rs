//! Settings of `otlp_grpc`.

use longwave_pipeline::component::{ComponentConfig, Problems};
use serde::{Deserialize, Deserializer, Serialize};

use super::endpoint::GrpcEndpoint;
use crate::otlp::auth_config::AUTHENTICATOR;
use crate::otlp::{ClientConfig, section};

/// Section of an `otlp_grpc` exporter.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GrpcConfig {
    /// `host:port`. The prefix `http://` or `https://` turns TLS off or on.
    pub endpoint: String,
    /// Settings that both protocols have, in the same map.
    #[serde(flatten)]
    pub client: ClientConfig,
}

static KEYS: [&str; 9] = section::keys(["endpoint"]);

// === impl GrpcConfig ===

impl<'de> Deserialize<'de> for GrpcConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ([endpoint], client) = section::decode(deserializer, &KEYS)?;
        Ok(Self { endpoint, client })
    }
}

impl ComponentConfig for GrpcConfig {
    fn validate(&self, problems: &mut Problems) {
        match GrpcEndpoint::parse(&self.endpoint, self.client.tls.insecure) {
            Err(message) => problems.at("endpoint", message),
            // As gRPC for Go, and so the Collector.
            Ok(endpoint) if !endpoint.tls && self.client.auth.is_some() => problems.at(
                AUTHENTICATOR,
                "the credentials require transport level security: remove tls::insecure and http://, or use otlp_http",
            ),
            Ok(_) => {}
        }
        self.client.validate(true, problems);
    }

    fn extensions(&self) -> Vec<(&'static str, String)> {
        self.client.extensions()
    }
}
