//! Settings of `page`.

use longwave_pipeline::component::{
    BasicAuthConfig, ComponentConfig, Problems, ServerTlsConfig, exclusive_port,
};
use serde::{Deserialize, Serialize};

/// Section of a `page` exporter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct PageConfig {
    /// `host:port` to listen on. Default `localhost:7070`.
    pub(super) endpoint: String,
    /// Serves HTTPS. Default off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tls: Option<ServerTlsConfig>,
    /// Requires a user name and a password. Default off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) basic_auth: Option<BasicAuthConfig>,
    /// DNS names by which browsers may open the page, besides `localhost`, IP addresses and the host of `endpoint`. Default none.
    pub(super) allowed_hosts: Vec<String>,
}

// === impl PageConfig ===

impl Default for PageConfig {
    fn default() -> Self {
        Self { endpoint: "localhost:7070".to_owned(), tls: None, basic_auth: None, allowed_hosts: Vec::new() }
    }
}

impl ComponentConfig for PageConfig {
    fn exclusive(&self) -> Vec<String> {
        exclusive_port(&self.endpoint)
    }

    fn validate(&self, problems: &mut Problems) {
        if !self.endpoint.contains(':') {
            problems.at("endpoint", "must be host:port, for example localhost:7070");
        }
        if let Some(tls) = &self.tls {
            tls.validate(problems);
        }
        if let Some(auth) = &self.basic_auth {
            auth.validate(problems);
        }
        for host in &self.allowed_hosts {
            if host.is_empty() || host.contains([':', '/', '*']) {
                problems.at(
                    "allowed_hosts",
                    format!("{host:?} is not a DNS name: write it without scheme, port and *, for example flows.example.com"),
                );
            }
        }
    }
}
