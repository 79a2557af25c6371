//! The file's grammar.

use longwave_config::{
    ConfigError, ConfigErrors, ConfigPath, Network, PortRange, decode_and_check, read_component_file,
};
use serde::Deserialize;

use super::pattern::Pattern;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RuleFile {
    pub rules: Vec<Rule>,
}

/// One rule: what it names, and where that is found.
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
    /// Default: `External` where the rule is about addresses only, else `Cgroup`.
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
    /// All that is wrong with it, each with `path` and the place in it.
    pub fn read(path: &str) -> Result<Self, ConfigErrors> {
        let value = read_component_file(path)?;
        let place = ConfigPath::root().child(path);
        if value.is_null() {
            return Err(ConfigError::new(place, "is empty")
                .hint("write rules: [] for a file without rules")
                .into());
        }
        let check = |file: &Self| {
            let rules = file.rules.iter().enumerate();
            rules.flat_map(|(index, rule)| rule.problems(&place, index)).collect()
        };
        Ok(decode_and_check(&value, &place, check)?)
    }
}

// === impl Rule ===

impl Rule {
    /// Whether it is about addresses.
    pub fn has_addresses(&self) -> bool {
        !self.cidrs.is_empty() || !self.ports.is_empty()
    }

    /// What is wrong with it, the rule number `index` of the file at `file`.
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
                "would hold for every address, not for the cgroups",
                "give cidrs too, or make two rules",
            );
        }
        if self.workload.is_none() && !self.cgroups.is_empty() {
            at(
                "cgroups",
                "find workloads only, and the rule names none",
                "services are found by cidrs and ports",
            );
        }
        if self.ports.iter().any(|ports| ports.contains(0)) {
            at("ports", "port 0 belongs to nobody", "ports begin at 1");
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
