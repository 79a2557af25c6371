//! The settings of `filter`.

use longwave_config::{Network, PortRange};
use longwave_pipeline::component::{ComponentConfig, Problems};
use longwave_pipeline::model::{ConnectionRecord, Event, Role};
use serde::{Deserialize, Serialize};

/// `filter`: a record is kept if it matches every group of `include` that is given, and no group of `exclude`. It matches a group if it
/// matches any of the group's values.
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
    /// What to keep. Default: everything.
    pub include: Rules,
    /// What to drop of that. Default: nothing.
    pub exclude: Rules,
}

/// Groups of values; an empty group is not given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Ports and ranges of ports of either end: `443`, `"8000-9000"`.
    pub ports: Vec<PortRange>,
    /// Networks or addresses of either end: `10.0.0.0/8`, `fd00::/8`, `192.0.2.1`.
    pub cidrs: Vec<Network>,
    /// What the record reports: `open`, `update`, `close`, `fail`, `vanished`.
    pub events: Vec<EventName>,
    /// Which end of the connection the reporting socket is: `client`, `server`, `unknown`.
    pub roles: Vec<RoleName>,
}

/// An event's name in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "Event documents them")]
pub enum EventName {
    Open,
    Update,
    Close,
    Fail,
    Vanished,
}

/// A role's name in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "Role documents them")]
pub enum RoleName {
    Client,
    Server,
    Unknown,
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
    /// Is the record kept?
    pub fn keeps(&self, record: &ConnectionRecord) -> bool {
        self.include.all_match(record) && !self.exclude.any_matches(record)
    }

    /// Do the rules on events let this event through?
    pub fn lets_through(&self, event: Event) -> bool {
        let listed = |names: &[EventName]| names.iter().any(|name| Event::from(*name) == event);
        (self.include.events.is_empty() || listed(&self.include.events)) && !listed(&self.exclude.events)
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

    /// For each group whether the record matches it; absent: the group is not given.
    fn groups(&self, record: &ConnectionRecord) -> [Option<bool>; 4] {
        let ends = [&record.local, &record.peer];
        let port = |range: &PortRange| ends.iter().any(|end| range.contains(end.port));
        let network = |network: &Network| ends.iter().any(|end| network.contains(&end.address));
        [
            (!self.ports.is_empty()).then(|| self.ports.iter().any(port)),
            (!self.cidrs.is_empty()).then(|| self.cidrs.iter().any(network)),
            (!self.events.is_empty())
                .then(|| self.events.iter().any(|name| Event::from(*name) == record.event)),
            (!self.roles.is_empty()).then(|| self.roles.iter().any(|name| Role::from(*name) == record.role)),
        ]
    }
}

// === impl EventName ===

impl From<EventName> for Event {
    fn from(name: EventName) -> Self {
        match name {
            EventName::Open => Self::Open,
            EventName::Update => Self::Update,
            EventName::Close => Self::Close,
            EventName::Fail => Self::Fail,
            EventName::Vanished => Self::Vanished,
        }
    }
}

// === impl RoleName ===

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Client => Self::Client,
            RoleName::Server => Self::Server,
            RoleName::Unknown => Self::Unknown,
        }
    }
}
