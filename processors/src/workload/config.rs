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
    /// Who is asked, in order of precedence. `cgroup` is built in: container id, systemd unit or process name. Default `[cgroup]`.
    pub sources: Vec<String>,
}

const CGROUP: &str = "cgroup";

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
            } else if source != CGROUP {
                let text = format!(
                    "references extension \"{source}\" which is not configured (built in: [{CGROUP}])"
                );
                problems.at("sources", text);
            }
        }
    }
}
