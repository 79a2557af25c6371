//! The settings of `window`.

use std::time::Duration;

use longwave_config::GoDuration;
use longwave_pipeline::component::{ComponentConfig, Problems};
use longwave_pipeline::model::{Detail, Level};
use serde::{Deserialize, Serialize};

/// `window`: aggregates records into aligned windows.
///
/// ```yaml
/// processors:
///   window:
///     interval: 5s
///     levels: [service, workload]
///     workload_attributes: []
///     min_age: 5s
///     max_series: 10000
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowConfig {
    /// Length of a window. Windows start at multiples of it since the Unix epoch. Make it a multiple of the receiver's `interval`: a
    /// window closes when a pass of the receiver is complete, so rarer passes make longer windows. Default `5s`, at least `1ms`.
    pub interval: GoDuration,
    /// How finely series tell connections apart: `service`, `workload`, `connection`. Default `[service, workload]`.
    pub levels: Vec<LevelName>,
    /// Level `workload` only: what its series tell apart beyond the workloads: `k8s.pod.name`, `k8s.node.name`, `container.name`, each for
    /// the source and the destination. Every pod has series of its own then, which end with it. Default none.
    pub workload_attributes: Vec<DetailName>,
    /// Level `connection` only: connections have a series from this age on; their first window carries what came before. Those that end
    /// younger never have one. Connections older than the receiver have one from the start. Default `5s`.
    pub min_age: GoDuration,
    /// Most series per level; what is beyond is summed up in one more series per level, marked `otel.metric.overflow`. No traffic is
    /// dropped. 0: no limit. Default 10000.
    pub max_series: u32,
}

/// A level's name in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LevelName {
    /// Source workload → destination service.
    Service,
    /// Source workload → destination workload.
    Workload,
    /// One connection.
    Connection,
}

/// An attribute of each end that level `workload` may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DetailName {
    /// The pod.
    #[serde(rename = "k8s.pod.name")]
    Pod,
    /// The node that it runs on.
    #[serde(rename = "k8s.node.name")]
    Node,
    /// The container within it.
    #[serde(rename = "container.name")]
    Container,
}

/// Shorter windows than this would be empty between two passes.
const SHORTEST: Duration = Duration::from_millis(1);

// === impl WindowConfig ===

impl Default for WindowConfig {
    fn default() -> Self {
        Self {
            interval: GoDuration::from_secs(5),
            levels: vec![LevelName::Service, LevelName::Workload],
            workload_attributes: Vec::new(),
            min_age: GoDuration::from_secs(5),
            max_series: 10_000,
        }
    }
}

impl ComponentConfig for WindowConfig {
    fn validate(&self, problems: &mut Problems) {
        if self.interval.get() < SHORTEST {
            let text = format!(
                "{} is too short for a window (at least 1ms): use the receiver's interval or a multiple of it, for example 5s",
                self.interval
            );
            problems.at("interval", text);
        }
        if self.levels.is_empty() {
            let text = "must name at least one level, or there is nothing to export (valid values: [service workload connection])";
            problems.at("levels", text);
        }
        if !self.workload_attributes.is_empty() && !self.has(Level::Workload) {
            let text = "has nothing to add to: add \"workload\" to levels, or remove this setting";
            problems.at("workload_attributes", text);
        }
        problems.each_once("levels", "level", self.levels.iter().map(|level| Level::from(*level).as_str()));
    }
}

impl WindowConfig {
    /// Is there a series per this level?
    pub(super) fn has(&self, level: Level) -> bool {
        self.levels.iter().any(|name| Level::from(*name) == level)
    }

    /// What level `workload` tells apart.
    pub(super) fn detail(&self) -> Detail {
        let has = |name| self.workload_attributes.contains(&name);
        Detail {
            pod: has(DetailName::Pod),
            node: has(DetailName::Node),
            container: has(DetailName::Container),
        }
    }
}

// === impl LevelName ===

impl From<LevelName> for Level {
    fn from(name: LevelName) -> Self {
        match name {
            LevelName::Service => Self::Service,
            LevelName::Workload => Self::Workload,
            LevelName::Connection => Self::Connection,
        }
    }
}
