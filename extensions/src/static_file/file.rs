//! Grammar of the file of rules.

use longwave_config::{
    ConfigError, ConfigErrors, ConfigPath, Network, PortRange, decode_and_check, read_component_file,
};
use longwave_pipeline::component::cgroup::Pattern;
use serde::Deserialize;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RuleFile {
    pub rules: Vec<Rule>,
}

/// One rule: the names that it gives, and where they apply.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Rule {
    pub cidrs: Vec<Network>,
    pub ports: Vec<PortRange>,
    pub cgroups: Vec<Pattern>,
    pub workload: Option<WorkloadName>,
    pub service: Option<ServiceName>,
}

/// A workload as the file writes it.
#[derive(Debug, Deserialize)]
pub(super) struct WorkloadName {
    pub name: String,
    /// Default: `External` if the rule has no `cgroups`, else `Cgroup`.
    #[serde(default)]
    pub kind: String,
    #[serde(default)]
    pub namespace: String,
}

/// A service as the file writes it.
#[derive(Debug, Deserialize)]
pub(super) struct ServiceName {
    pub name: String,
    #[serde(default)]
    pub namespace: String,
}

// === impl RuleFile ===

impl RuleFile {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// All mistakes in it, each with `path` and its location in the file.
    pub fn read(path: &str) -> Result<Self, ConfigErrors> {
        let value = read_component_file(path)?;
        let path = ConfigPath::root().child(path);
        if value.is_null() {
            return Err(ConfigError::new(path, "is empty")
                .hint("write rules: [] for a file without rules")
                .into());
        }
        let check = |file: &Self| {
            let rules = file.rules.iter().enumerate();
            rules.flat_map(|(index, rule)| rule.problems(&path, index)).collect()
        };
        Ok(decode_and_check(&value, &path, check)?)
    }
}

// === impl Rule ===

impl Rule {
    /// Returns whether the rule matches by address or port.
    pub fn has_addresses(&self) -> bool {
        !self.cidrs.is_empty() || !self.ports.is_empty()
    }

    /// Returns the mistakes in the rule, which is number `index` in the file at `file`.
    fn problems(&self, file: &ConfigPath, index: usize) -> Vec<ConfigError> {
        let mut found = Vec::new();
        let rule = ConfigPath::from("rules").child(index);
        let mut at = |field: &str, message: &str, remedy: &str| {
            let field = rule.join(&ConfigPath::from(field));
            found.push(ConfigError::new(file.clone(), message).field(field).hint(remedy));
        };
        if self.workload.is_none() && self.service.is_none() {
            at("", "names nothing", "give workload: {name: …}, service: {name: …} or both");
        }
        if !self.has_addresses() && self.cgroups.is_empty() {
            at("", "matches nothing", "give cidrs, ports or cgroups");
        }
        if !self.ports.is_empty() && self.cidrs.is_empty() && !self.cgroups.is_empty() {
            at(
                "ports",
                "would apply to every address, not to the cgroups",
                "give cidrs too, or make two rules",
            );
        }
        if self.workload.is_none() && !self.cgroups.is_empty() {
            at(
                "cgroups",
                "resolve to workloads only, and the rule names none",
                "services are found by cidrs and ports",
            );
        }
        if self.ports.iter().any(|ports| ports.contains(0)) {
            at("ports", "port 0 does not exist", "ports begin at 1");
        }
        if self.workload.as_ref().is_some_and(|workload| workload.name.is_empty()) {
            at("workload::name", "is empty", "give the workload's name");
        }
        if self.service.as_ref().is_some_and(|service| service.name.is_empty()) {
            at("service::name", "is empty", "give the service's name");
        }
        found
    }
}
