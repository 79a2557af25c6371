//! Settings of `filter`.

use longwave_config::{Network, PortRange};
use longwave_pipeline::component::{ComponentConfig, Problems};
use longwave_pipeline::model::{ConnectionRecord, Event, Role};
use serde::{Deserialize, Serialize};

/// `filter`: a record is kept if it matches every non-empty group of `include`, and no group of `exclude`. It matches a group if it matches
/// any of the group's values.
///
/// ```yaml
/// processors:
///   filter:
///     include:
///       ports: [443, "8000-9000"]
///     exclude:
///       cidrs: [127.0.0.0/8, "::1"]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FilterConfig {
    /// Records to keep. Default: all.
    pub include: Rules,
    /// Which of the included records to drop. Default: none.
    pub exclude: Rules,
}

/// Groups of values. An empty group has no effect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Ports and ranges of ports of either end: `443`, `"8000-9000"`.
    pub ports: Vec<PortRange>,
    /// Networks or addresses of either end: `10.0.0.0/8`, `fd00::/8`, `192.0.2.1`.
    pub cidrs: Vec<Network>,
    /// Events of records: `open`, `update`, `close`, `fail`, `vanished`.
    pub events: Vec<Event>,
    /// Roles of reporting sockets: `client`, `server`, `unknown`.
    pub roles: Vec<Role>,
}

// === impl FilterConfig ===

impl ComponentConfig for FilterConfig {
    fn validate(&self, problems: &mut Problems) {
        let (include, exclude) = (&self.include, &self.exclude);
        if *include == Rules::default() && *exclude == Rules::default() {
            problems.at("", "has no rules: give include or exclude a group (ports, cidrs, events or roles), or remove the processor");
        }
        if !include.events.is_empty() && include.events.iter().all(|event| exclude.events.contains(event)) {
            problems.at("exclude::events", "excludes every event that include::events lists, so that nothing is kept: remove one of them");
        }
        if !include.roles.is_empty() && include.roles.iter().all(|role| exclude.roles.contains(role)) {
            problems.at(
                "exclude::roles",
                "excludes every role that include::roles lists, so that nothing is kept: remove one of them",
            );
        }
    }
}

impl FilterConfig {
    /// Returns true if the record is kept.
    pub fn keeps(&self, record: &ConnectionRecord) -> bool {
        self.include.all_match(record) && !self.exclude.any_matches(record)
    }

    /// Returns true if the rules on events keep this event.
    pub fn keeps_event(&self, event: Event) -> bool {
        let (include, exclude) = (&self.include.events, &self.exclude.events);
        (include.is_empty() || include.contains(&event)) && !exclude.contains(&event)
    }
}

// === impl Rules ===

impl Rules {
    fn all_match(&self, record: &ConnectionRecord) -> bool {
        self.groups(record).into_iter().all(|group| group != Some(false))
    }

    fn any_matches(&self, record: &ConnectionRecord) -> bool {
        self.groups(record).into_iter().any(|group| group == Some(true))
    }

    /// Returns for each group whether the record matches it. `None`: the group is empty.
    fn groups(&self, record: &ConnectionRecord) -> [Option<bool>; 4] {
        let ends = [&record.local, &record.peer];
        let port = |range: &PortRange| ends.iter().any(|end| range.contains(end.port));
        let network = |network: &Network| ends.iter().any(|end| network.contains(&end.address));
        [
            (!self.ports.is_empty()).then(|| self.ports.iter().any(port)),
            (!self.cidrs.is_empty()).then(|| self.cidrs.iter().any(network)),
            (!self.events.is_empty()).then(|| self.events.contains(&record.event)),
            (!self.roles.is_empty()).then(|| self.roles.contains(&record.role)),
        ]
    }
}
