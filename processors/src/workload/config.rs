//! Settings of `workload`.

use longwave_config::GoDuration;
use longwave_pipeline::component::{ComponentConfig, Problems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::holding::held;

/// `workload`: names the two ends of each connection.
///
/// ```yaml
/// processors:
///   workload:
///     sources: [kubernetes, cgroup]
///     hold: 5s
///     conntrack: true
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WorkloadConfig {
    /// Sources of names, in order of precedence: ids of extensions that resolve workloads, and two built-in sources. `cgroup` (container
    /// id, systemd unit, and for the root cgroup the process) needs a cgroup2 file system. `process` (the executable's name) needs nothing.
    pub sources: Vec<String>,
    /// How long a connection's first records may wait for a pending name. They leave at the latest at the first end of a pass after that
    /// time. Use the receiver's interval. `0s`: no record waits. At most `1m`.
    pub hold: GoDuration,
    /// Whether to query the kernel's connection tracking for the other end of connections that are translated (cluster IPs, published
    /// ports, masquerades). Needs `CAP_NET_ADMIN`. Default: true if one of the sources is an extension.
    #[schemars(example = true)]
    pub conntrack: Option<bool>,
}

pub(super) const CGROUP: &str = "cgroup";
pub(super) const PROCESS: &str = "process";
const BUILT_IN: [&str; 2] = [CGROUP, PROCESS];

// === impl WorkloadConfig ===

impl Default for WorkloadConfig {
    fn default() -> Self {
        Self { sources: vec![CGROUP.to_owned()], hold: GoDuration::from_secs(5), conntrack: None }
    }
}

impl ComponentConfig for WorkloadConfig {
    fn validate(&self, problems: &mut Problems) {
        if self.sources.is_empty() {
            problems.at(
                "sources",
                "must name at least one source, for example [cgroup], or remove the processor",
            );
        }
        problems.each_once("sources", "source", self.sources.iter().map(String::as_str));
        held::check_setting(self.hold, problems);
    }

    fn extensions(&self) -> Vec<(&'static str, String)> {
        self.named_extensions().map(|source| ("sources", source.clone())).collect()
    }

    fn built_in(&self) -> &'static [&'static str] {
        &BUILT_IN
    }
}

impl WorkloadConfig {
    /// Returns true if `cgroup` is a source.
    pub(super) fn uses_cgroups(&self) -> bool {
        self.sources.iter().any(|source| source == CGROUP)
    }

    /// Returns true if an extension is a source.
    pub(super) fn uses_extensions(&self) -> bool {
        self.named_extensions().next().is_some()
    }

    /// Returns true if connection tracking is queried.
    pub(super) fn uses_conntrack(&self) -> bool {
        self.conntrack.unwrap_or(self.uses_extensions())
    }

    fn named_extensions(&self) -> impl Iterator<Item = &String> {
        self.sources.iter().filter(|source| !BUILT_IN.contains(&source.as_str()))
    }
}
