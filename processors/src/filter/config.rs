//! Settings of `filter`.

use longwave_config::{Network, PortRange};
use longwave_pipeline::component::{ComponentConfig, Problems};
use longwave_pipeline::model::{ConnectionRecord, Event, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::expression::Expression;
use super::name_pattern::NamePattern;

/// `filter`: a record is kept if it meets the condition `where`, and matches every non-empty group of `include`, and no group of `exclude`. It
/// matches a group if it matches any of the group's values.
///
/// ```yaml
/// processors:
///   filter:
///     include:
///       ports: [443, "8000-9000"]
///     exclude:
///       cidrs: [127.0.0.0/8, "::1"]
///       namespaces: [kube-*]
///   filter/slow:
///     where: "workload=web and (rtt>50ms or retransmits>1%)"
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FilterConfig {
    /// Rules for records to keep. Without rules, all are kept.
    pub include: Rules,
    /// Rules for which of the included records to drop. Without rules, none are dropped.
    pub exclude: Rules,
    /// Condition on records to keep, as `docs/NAMES.md` describes.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"workload=web and (rtt>50ms or retransmits>1%)")]
    pub condition: Option<Expression>,
}

/// Groups of values. An empty group has no effect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Rules {
    /// Ports and ranges of ports of either end: `443`, `"8000-9000"`.
    #[schemars(example = ["443", "8000-9000"])]
    pub ports: Vec<PortRange>,
    /// Networks or addresses of either end: `10.0.0.0/8`, `fd00::/8`, `192.0.2.1`.
    #[schemars(example = ["10.0.0.0/8"])]
    pub cidrs: Vec<Network>,
    /// Events of records.
    #[schemars(example = ["close", "fail"])]
    pub events: Vec<Event>,
    /// Roles of reporting sockets.
    #[schemars(example = ["client"])]
    pub roles: Vec<Role>,
    /// Names of the workload of either end. `*` stands for any characters.
    #[schemars(example = ["web", "api-*"])]
    pub workloads: Vec<NamePattern>,
    /// Kubernetes namespaces of the workload of either end. `*` stands for any characters.
    #[schemars(example = ["kube-*"])]
    pub namespaces: Vec<NamePattern>,
    /// Names of the service that the client connected to. `*` stands for any characters.
    #[schemars(example = ["checkout"])]
    pub services: Vec<NamePattern>,
}

// === impl FilterConfig ===

impl ComponentConfig for FilterConfig {
    fn validate(&self, problems: &mut Problems) {
        let (include, exclude) = (&self.include, &self.exclude);
        if *include == Rules::default() && *exclude == Rules::default() && self.condition.is_none() {
            problems.at(
                "",
                "has no rules: give include or exclude a group (ports, cidrs, events, roles, workloads, namespaces or services), give \
                 where a condition, or remove the processor",
            );
        }
        excludes_all(problems, "ports", "port", &include.ports, &exclude.ports);
        excludes_all(problems, "cidrs", "network", &include.cidrs, &exclude.cidrs);
        excludes_all(problems, "events", "event", &include.events, &exclude.events);
        excludes_all(problems, "roles", "role", &include.roles, &exclude.roles);
        excludes_all(problems, "workloads", "workload", &include.workloads, &exclude.workloads);
        excludes_all(problems, "namespaces", "namespace", &include.namespaces, &exclude.namespaces);
        excludes_all(problems, "services", "service", &include.services, &exclude.services);
    }

    fn reads_from(&self) -> Vec<(&'static str, &'static str)> {
        let (include, exclude) = (&self.include, &self.exclude);
        let groups = [
            ("include::workloads", "workload", &include.workloads),
            ("include::namespaces", "workload", &include.namespaces),
            ("include::services", "service", &include.services),
            ("exclude::workloads", "workload", &exclude.workloads),
            ("exclude::namespaces", "workload", &exclude.namespaces),
            ("exclude::services", "service", &exclude.services),
        ];
        let groups = groups.into_iter().filter(|(.., names)| !names.is_empty());
        let condition = self.condition.iter().flat_map(Expression::reads_from);
        groups
            .map(|(key, setter, _)| (key, setter))
            .chain(condition.map(|setter| ("where", setter)))
            .collect()
    }
}

/// Reports an excluded group that contains the whole included one.
fn excludes_all<T: PartialEq>(
    problems: &mut Problems,
    group: &str,
    what: &str,
    include: &[T],
    exclude: &[T],
) {
    if !include.is_empty() && include.iter().all(|value| exclude.contains(value)) {
        problems.at(
            format!("exclude::{group}"),
            format!("excludes every {what} that include::{group} lists, so that nothing is kept: remove one of them"),
        );
    }
}

impl FilterConfig {
    /// Returns true if the rules on events keep this event.
    pub fn keeps_event(&self, event: Event) -> bool {
        let (include, exclude) = (&self.include.events, &self.exclude.events);
        (include.is_empty() || include.contains(&event)) && !exclude.contains(&event)
    }

    /// Returns true if the condition, and the rules on everything except events, keep the record.
    pub fn keeps_connection(&self, record: &ConnectionRecord) -> bool {
        self.include.all_match(record)
            && !self.exclude.any_matches(record)
            && self.condition.as_ref().is_none_or(|condition| condition.matches(record))
    }

    /// Returns true if the rules can keep one record of a connection and drop a later one, apart from rules on events: roles and names become
    /// known and change while a connection is open, and so do measures.
    pub fn can_change_within_a_connection(&self) -> bool {
        self.condition.as_ref().is_some_and(Expression::can_change_within_a_connection)
            || [&self.include, &self.exclude].into_iter().any(|rules| {
                !rules.roles.is_empty()
                    || !rules.workloads.is_empty()
                    || !rules.namespaces.is_empty()
                    || !rules.services.is_empty()
            })
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

    /// Returns for each group except events whether the record matches it. `None`: the group is empty.
    fn groups(&self, record: &ConnectionRecord) -> [Option<bool>; 6] {
        let ends = [&record.local, &record.peer];
        let port = |range: &PortRange| ends.iter().any(|end| range.contains(end.port));
        let network = |network: &Network| ends.iter().any(|end| network.contains(&end.address));
        let workloads = [record.names.local.as_deref(), record.names.peer.as_deref()];
        let name = |pattern: &NamePattern| {
            workloads.iter().any(|end| pattern.matches(end.map_or("", |workload| &workload.name)))
        };
        let namespace = |pattern: &NamePattern| {
            workloads.iter().any(|end| pattern.matches(end.map_or("", |workload| &workload.namespace)))
        };
        let service = record.names.service.as_deref().map_or("", |service| &service.name);
        [
            (!self.ports.is_empty()).then(|| self.ports.iter().any(port)),
            (!self.cidrs.is_empty()).then(|| self.cidrs.iter().any(network)),
            (!self.roles.is_empty()).then(|| self.roles.contains(&record.role)),
            (!self.workloads.is_empty()).then(|| self.workloads.iter().any(name)),
            (!self.namespaces.is_empty()).then(|| self.namespaces.iter().any(namespace)),
            (!self.services.is_empty()).then(|| self.services.iter().any(|pattern| pattern.matches(service))),
        ]
    }
}
