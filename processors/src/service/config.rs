//! Settings of `service`.

use longwave_config::GoDuration;
use longwave_pipeline::component::{ComponentConfig, Problems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::holding::held;

/// `service`: names the service that each connection's client connected to.
///
/// ```yaml
/// processors:
///   service:
///     sources: [kubernetes, static]
///     conntrack: true
///     hold: 5s
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServiceConfig {
    /// Ids of extensions that resolve services, in order of precedence. At least one.
    #[schemars(example = ["kubernetes"])]
    pub sources: Vec<String>,
    /// Whether to query the kernel's connection tracking for the address that clients of local servers connected to, before translation, and
    /// for node ports at addresses of this host that a source does not report.
    pub conntrack: bool,
    /// How long a connection's first records may wait for a pending service. `0s`: no record waits. At most `1m`.
    pub hold: GoDuration,
}

// === impl ServiceConfig ===

impl Default for ServiceConfig {
    fn default() -> Self {
        Self { sources: Vec::new(), conntrack: true, hold: GoDuration::from_secs(5) }
    }
}

impl ComponentConfig for ServiceConfig {
    fn validate(&self, problems: &mut Problems) {
        if self.sources.is_empty() {
            problems.at(
                "sources",
                "must name at least one extension that resolves services, for example [kubernetes], or remove the processor",
            );
        }
        problems.each_once("sources", "source", self.sources.iter().map(String::as_str));
        held::check_setting(self.hold, problems);
    }

    fn extensions(&self) -> Vec<(&'static str, String)> {
        self.sources.iter().map(|source| ("sources", source.clone())).collect()
    }
}
