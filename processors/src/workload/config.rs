//! The settings of `workload`.

use longwave_pipeline::component::{ComponentConfig, Problems};
use serde::{Deserialize, Serialize};

/// `workload`: names the two ends of each connection.
///
/// ```yaml
/// processors:
///   workload:
///     sources: [cgroup]
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkloadConfig {
    /// Who is asked, in order of precedence. Built in: `cgroup` (container id, systemd unit, and for the root cgroup the process), which
    /// needs a cgroup2 file system; `process` (the executable's name), which needs nothing. Default `[cgroup]`.
    pub sources: Vec<String>,
}

const CGROUP: &str = "cgroup";
const PROCESS: &str = "process";

// === impl WorkloadConfig ===

impl Default for WorkloadConfig {
    fn default() -> Self {
        Self { sources: vec![CGROUP.to_owned()] }
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
        for (index, source) in self.sources.iter().enumerate() {
            if self.sources[..index].contains(source) {
                problems.at("sources", format!("names \"{source}\" twice: name each source once"));
            }
        }
    }

    fn extensions(&self) -> Vec<(&'static str, String)> {
        let named = self.sources.iter().filter(|source| *source != CGROUP && *source != PROCESS);
        named.map(|source| ("sources", source.clone())).collect()
    }
}

impl WorkloadConfig {
    /// cgroups are asked.
    pub(super) fn asks_cgroups(&self) -> bool {
        self.sources.iter().any(|source| source == CGROUP)
    }
}
