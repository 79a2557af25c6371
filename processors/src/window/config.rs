//! Settings of `window`.

use std::time::Duration;

use longwave_config::{GoDuration, near_miss};
use longwave_pipeline::component::{ComponentConfig, Problems};
use longwave_pipeline::model::{Level, SeriesAttributes, key};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::levels::Levels;

/// Section of a `window` processor.
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WindowConfig {
    /// Length of a window. Windows start at multiples of it since the Unix epoch. It should be a multiple of the receiver's `interval`,
    /// since a window closes when a pass of the receiver is complete. At least `1ms`.
    pub interval: GoDuration,
    /// Levels that have series: `service`, `workload`, `connection`. A map can select the attributes of a
    /// level, for example `{workload: , connection: {attributes: [source.address, destination.address, destination.port]}}`. Connections
    /// with equal attributes are in one series.
    pub levels: Levels,
    /// Level `workload` only: additional attributes of series, for the source and the destination: `k8s.pod.name`, `k8s.node.name`,
    /// `container.name`. With `k8s.pod.name`, every pod has its own series, which end when the pod has no more connections.
    #[schemars(example = ["k8s.pod.name"])]
    pub workload_attributes: Vec<WorkloadAttribute>,
    /// Level `connection` only: the age at which a connection gets a series. The first window of the series includes everything before. A
    /// connection that closes before that age has no series. A connection that is older than the receiver has a series from its first
    /// record.
    pub min_age: GoDuration,
    /// Maximum number of series per level. Further series are folded into coarser ones, with the attribute `longwave.folded`, and at last
    /// into one with the attribute `otel.metric.overflow`, so that no traffic is lost. There are at most 769 of these per level in addition
    /// (an eighth of `max_series` for each of three rungs, and one). 0: no limit.
    pub max_series: u32,
}

/// An attribute of both ends that series of level `workload` can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WorkloadAttribute {
    /// Pod name.
    #[serde(rename = "k8s.pod.name")]
    Pod,
    /// Name of the pod's node.
    #[serde(rename = "k8s.node.name")]
    Node,
    /// Name of the container in the pod.
    #[serde(rename = "container.name")]
    Container,
}

/// Minimum of `interval`. Shorter windows would be empty between two passes.
const MIN_INTERVAL: Duration = Duration::from_millis(1);
/// Maximum of `interval`. A window is in memory until it ends.
const MAX_INTERVAL: GoDuration = GoDuration::from_secs(24 * 3600);
/// Maximum of `min_age`.
const MAX_AGE: GoDuration = GoDuration::from_secs(30 * 24 * 3600);
/// Maximum of `max_series`. This number of series takes several gigabytes. 0 turns the limit off.
const MAX_SERIES: u32 = 10_000_000;

// === impl WindowConfig ===

impl Default for WindowConfig {
    fn default() -> Self {
        Self {
            interval: GoDuration::from_secs(5),
            levels: [Level::Service, Level::Workload].into_iter().collect(),
            workload_attributes: Vec::new(),
            min_age: GoDuration::from_secs(5),
            max_series: 10_000,
        }
    }
}

impl ComponentConfig for WindowConfig {
    fn validate(&self, problems: &mut Problems) {
        if self.interval.get() < MIN_INTERVAL {
            let text = format!(
                "{} is too short for a window (at least 1ms): use the receiver's interval or a multiple of it, for example 5s",
                self.interval
            );
            problems.at("interval", text);
        }
        problems.at_most("interval", self.interval, MAX_INTERVAL);
        problems.at_most("min_age", self.min_age, MAX_AGE);
        problems.at_most("max_series", self.max_series, MAX_SERIES);
        if self.levels.is_empty() {
            let text = "must name at least one level, or there is nothing to export (valid values: [service workload connection])";
            problems.at("levels", text);
        }
        if !self.workload_attributes.is_empty() {
            match self.levels.get(Level::Workload) {
                Some(level) if level.attributes.is_none() => {}
                Some(_) => {
                    let text = "cannot be combined with levels::workload::attributes, which has all attributes: add them there, and \
                                remove this setting";
                    problems.at("workload_attributes", text);
                }
                None => {
                    let text = "has nothing to add to: add \"workload\" to levels, or remove this setting";
                    problems.at("workload_attributes", text);
                }
            }
        }
        problems.each_once("levels", "level", self.levels.iter().map(|(level, _)| level.as_str()));
        for (level, config) in self.levels.iter() {
            let names = config.attributes.as_deref().unwrap_or_default();
            let path = format!("levels::{}::attributes", level.as_str());
            for (index, name) in names.iter().enumerate() {
                if let Some(text) = problem_of(level, name) {
                    problems.at(format!("{path}::{index}"), text);
                }
            }
            problems.each_once(&path, "attribute", names.iter().map(String::as_str));
        }
    }
}

impl WindowConfig {
    /// Returns the attributes of the series of a level; `None` if the level has no series.
    pub(super) fn attributes(&self, level: Level) -> Option<SeriesAttributes> {
        let attributes = self.levels.get(level)?.series_attributes(level);
        let additional = self.workload_attributes.iter().filter(|_| level == Level::Workload);
        Some(attributes.with(additional.flat_map(|attribute| attribute.keys())))
    }
}

// === impl WorkloadAttribute ===

impl WorkloadAttribute {
    fn keys(self) -> [&'static str; 2] {
        match self {
            Self::Pod => [key::SOURCE_POD, key::DESTINATION_POD],
            Self::Node => [key::SOURCE_NODE, key::DESTINATION_NODE],
            Self::Container => [key::SOURCE_CONTAINER, key::DESTINATION_CONTAINER],
        }
    }
}

/// Returns what is wrong if the level cannot have an attribute of this name.
fn problem_of(level: Level, name: &str) -> Option<String> {
    let known = SeriesAttributes::names(level);
    if known.contains(&name) || SeriesAttributes::is_label(name) {
        return None;
    }
    if SeriesAttributes::names(Level::Connection).contains(&name) {
        return Some(format!("only level connection has the attribute \"{name}\": remove it here"));
    }
    let hint = near_miss(name, known.iter().copied())
        .map(|near| format!(" (did you mean \"{near}\"?)"))
        .unwrap_or_default();
    let labels = "{source,destination}.k8s.pod.label.<key>, .k8s.pod.annotation.<key>, .container.label.<key>, .container.image.name and \
                  .container.runtime.name";
    Some(format!(
        "unknown attribute \"{name}\"{hint}: level {} can have [{}], and {labels}",
        level.as_str(),
        known.join(" ")
    ))
}
