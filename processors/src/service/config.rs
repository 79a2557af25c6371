//! The settings of `service`.

use longwave_config::GoDuration;
use longwave_pipeline::component::{ComponentConfig, Problems};
use serde::{Deserialize, Serialize};

use crate::holding::held;

/// `service`: names the service that each connection's client meant.
///
/// ```yaml
/// processors:
///   service:
///     sources: [kubernetes, static]
///     conntrack: true
///     hold: 5s
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceConfig {
    /// Extensions that know services, in order of precedence. At least one; no default.
    pub sources: Vec<String>,
    /// Asks the kernel's connection tracking what the clients of local servers asked for before it was translated. Default true.
    pub conntrack: bool,
    /// How long records wait for a service that is being asked for; 0: not at all. Default 5s.
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
                "must name at least one extension that knows services, for example [kubernetes], or remove the processor",
            );
        }
        problems.each_once("sources", "source", self.sources.iter().map(String::as_str));
        held::check_setting(self.hold, problems);
    }

    fn extensions(&self) -> Vec<(&'static str, String)> {
        self.sources.iter().map(|source| ("sources", source.clone())).collect()
    }
}
