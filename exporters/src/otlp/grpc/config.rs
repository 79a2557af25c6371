//! Settings of `otlp_grpc`.

use longwave_pipeline::component::{ComponentConfig, Problems};
use serde::{Deserialize, Deserializer, Serialize};

use super::endpoint::GrpcEndpoint;
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

static KEYS: [&str; 8] = section::keys(["endpoint"]);

// === impl GrpcConfig ===

impl<'de> Deserialize<'de> for GrpcConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ([endpoint], client) = section::decode(deserializer, &KEYS)?;
        Ok(Self { endpoint, client })
    }
}

impl ComponentConfig for GrpcConfig {
    fn validate(&self, problems: &mut Problems) {
        if let Err(message) = GrpcEndpoint::parse(&self.endpoint, self.client.tls.insecure) {
            problems.at("endpoint", message);
        }
        self.client.validate(true, problems);
    }
}
