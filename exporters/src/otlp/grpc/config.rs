//! Settings of `otlp_grpc`.

use http::HeaderValue;
use http::uri::Authority;
use longwave_pipeline::component::{ComponentConfig, Problems};
use schemars::JsonSchema;
use serde::de::MapAccess;
use serde::{Deserialize, Deserializer, Serialize};

use super::KeepaliveConfig;
use super::endpoint::GrpcEndpoint;
use crate::otlp::ClientConfig;
use crate::otlp::auth_config::AUTHENTICATOR;
use crate::otlp::section::{self, Section};

/// Section of an `otlp_grpc` exporter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(default)]
pub struct GrpcConfig {
    /// `host:port`, `dns:///host:port` or `unix:///path`. The prefix `http://` or `https://` turns TLS off or on.
    #[schemars(example = &"collector:4317")]
    pub endpoint: String,
    /// How requests are distributed over the addresses of the endpoint's name.
    pub balancer_name: BalancerName,
    /// Value of `:authority`, and name in the server's certificate. Default: the endpoint's.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(example = &"collector.example.com")]
    pub authority: String,
    /// Value of the header `user-agent`. Default: name and version of Longwave.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(example = &"longwave-eu")]
    pub user_agent: String,
    /// Whether an attempt waits for a connection within its time limit, instead of failing when none can be opened.
    pub wait_for_ready: bool,
    /// Pings that find out whether the server still responds.
    pub keepalive: KeepaliveConfig,
    /// Bytes of a buffer for reading from the connection; 0: no further buffer.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(example = 524288)]
    pub read_buffer_size: u64,
    /// Bytes of a buffer for writing to the connection; 0: no further buffer.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(example = 524288)]
    pub write_buffer_size: u64,
    /// Settings that both protocols have, in the same map.
    #[serde(flatten)]
    pub client: ClientConfig,
}

/// `balancer_name`, with the names of gRPC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BalancerName {
    /// A connection to each address. Requests use them in turn.
    #[default]
    RoundRobin,
    /// One connection, to the first address that accepts it.
    PickFirst,
}

/// Largest buffer of a connection.
const MAX_BUFFER_SIZE: u64 = 16 << 20;

// === impl GrpcConfig ===

fn is_zero(size: &u64) -> bool {
    *size == 0
}

impl Section for GrpcConfig {
    const KEYS: &'static [&'static str] = &section::keys::<8, 16>([
        "endpoint",
        "balancer_name",
        "authority",
        "user_agent",
        "wait_for_ready",
        "keepalive",
        "read_buffer_size",
        "write_buffer_size",
    ]);

    fn client(&mut self) -> &mut ClientConfig {
        &mut self.client
    }

    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "endpoint" => self.endpoint = map.next_value()?,
            "balancer_name" => self.balancer_name = map.next_value()?,
            "authority" => self.authority = map.next_value()?,
            "user_agent" => self.user_agent = map.next_value()?,
            "wait_for_ready" => self.wait_for_ready = map.next_value()?,
            "keepalive" => self.keepalive = map.next_value()?,
            "read_buffer_size" => self.read_buffer_size = map.next_value()?,
            "write_buffer_size" => self.write_buffer_size = map.next_value()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl<'de> Deserialize<'de> for GrpcConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        section::decode(deserializer)
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
        self.validate_authority(problems);
        if HeaderValue::from_str(&self.user_agent).is_err() {
            problems.at("user_agent", "has characters that are invalid in a header (a line break?)");
        }
        self.keepalive.validate(problems);
        problems.at_most("read_buffer_size", self.read_buffer_size, MAX_BUFFER_SIZE);
        problems.at_most("write_buffer_size", self.write_buffer_size, MAX_BUFFER_SIZE);
        self.client.validate(true, problems);
    }

    fn extensions(&self) -> Vec<(&'static str, String)> {
        self.client.extensions()
    }
}

impl GrpcConfig {
    fn validate_authority(&self, problems: &mut Problems) {
        let authority = &self.authority;
        if authority.is_empty() {
            return;
        }
        match authority.parse::<Authority>() {
            Err(error) => {
                problems.at("authority", format!("{authority:?} is not host or host:port: {error}"))
            }
            Ok(_) if authority.contains('@') => {
                problems
                    .at("authority", format!("{authority:?} must not have a user (write host or host:port)"));
            }
            // As gRPC for Go.
            Ok(_) => {
                if let Some(name) =
                    self.client.tls.server_name_override.as_ref().filter(|name| *name != authority)
                {
                    problems.at(
                        "authority",
                        format!("{authority:?} differs from tls::server_name_override, {name:?}: remove one of them"),
                    );
                }
            }
        }
    }
}
