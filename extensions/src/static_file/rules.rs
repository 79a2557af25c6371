//! Rules of a file, prepared for look-ups.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use longwave_config::{ConfigErrors, Network};
use longwave_pipeline::model::{Handle, Interner, Service, Workload};

use super::cgroups::Cgroups;
use super::file::{Rule, RuleFile, ServiceName, WorkloadName};
use super::networks::{NetworkEntry, Networks, ShadowedRule};

/// Kinds of workloads for rules that give none.
const EXTERNAL: &str = "External";
const CGROUP: &str = "Cgroup";

/// The rules of a file.
#[derive(Debug)]
pub struct Rules {
    workloads: Networks<Handle<Workload>>,
    services: Networks<Handle<Service>>,
    cgroups: Cgroups<Handle<Workload>>,
    count: usize,
    warnings: Vec<String>,
}

/// The file cannot be used. The message lists all mistakes, one per line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RulesError(#[from] pub ConfigErrors);

/// Interners of the names. They outlive a reload, so an unchanged name keeps its handle.
#[derive(Default)]
pub(super) struct NameInterners {
    workloads: Interner<Workload>,
    services: Interner<Service>,
}

// === impl Rules ===

impl Rules {
    /// Reads the file at `path`.
    pub(super) fn read(path: &str, names: &NameInterners) -> Result<Self, RulesError> {
        Ok(Self::new(&RuleFile::read(path)?, names))
    }

    /// Prepares the rules of a checked file.
    pub(super) fn new(file: &RuleFile, names: &NameInterners) -> Self {
        let (mut workloads, mut services, mut cgroups) = (Vec::new(), Vec::new(), Vec::new());
        for (index, rule) in file.rules.iter().enumerate() {
            if let Some(workload) = &rule.workload {
                let workload =
                    names.workload(workload, if rule.cgroups.is_empty() { EXTERNAL } else { CGROUP });
                workloads.extend(entries(rule, index, &workload));
                cgroups.extend(rule.cgroups.iter().map(|pattern| (pattern.clone(), workload.clone(), index)));
            }
            if let Some(service) = &rule.service {
                services.extend(entries(rule, index, &names.service(service)));
            }
        }
        let (workloads, by_address) = Networks::new(workloads);
        let (services, by_service) = Networks::new(services);
        let (cgroups, by_cgroup) = Cgroups::new(cgroups);
        let mut shadowed = [by_address, by_service, by_cgroup].concat();
        shadowed.sort_by_key(|shadowed| (shadowed.rule, shadowed.by));
        shadowed.dedup();
        let warnings = shadowed.iter().map(ShadowedRule::to_string).collect();
        Self { workloads, services, cgroups, count: file.rules.len(), warnings }
    }

    /// Returns the workload of an end at `address` and `port`.
    pub fn workload_of_address(&self, address: IpAddr, port: u16) -> Option<&Handle<Workload>> {
        self.workloads.find(address, port)
    }

    /// Returns the service at `address` and `port`.
    pub fn service_of_address(&self, address: IpAddr, port: u16) -> Option<&Handle<Service>> {
        self.services.find(address, port)
    }

    /// Returns the workload of the cgroup at `path`.
    pub fn workload_of_cgroup(&self, path: &str) -> Option<&Handle<Workload>> {
        self.cgroups.find(path)
    }

    /// Returns the number of rules in the file.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns whether the file has no rules.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns a message for each rule that can never match.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Returns one entry for each pair of network and port range of a rule.
fn entries<T: Clone>(rule: &Rule, index: usize, value: &Handle<T>) -> Vec<NetworkEntry<Handle<T>>> {
    if !rule.has_addresses() {
        return Vec::new();
    }
    let everywhere = || [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)];
    let networks: Vec<Network> = if rule.cidrs.is_empty() {
        everywhere().iter().filter_map(|address| format!("{address}/0").parse().ok()).collect()
    } else {
        rule.cidrs.clone()
    };
    let ports: Vec<_> =
        if rule.ports.is_empty() { vec![None] } else { rule.ports.iter().copied().map(Some).collect() };
    let pairs = networks.into_iter().flat_map(|network| ports.iter().map(move |ports| (network, *ports)));
    pairs.map(|(network, ports)| NetworkEntry { network, ports, value: value.clone(), rule: index }).collect()
}

// === impl NameInterners ===

impl NameInterners {
    fn workload(&self, name: &WorkloadName, kind: &str) -> Handle<Workload> {
        let kind = if name.kind.is_empty() { kind } else { &name.kind };
        self.workloads.intern(Workload {
            name: Arc::from(name.name.as_str()),
            kind: Arc::from(kind),
            namespace: Arc::from(name.namespace.as_str()),
            ..Workload::default()
        })
    }

    fn service(&self, name: &ServiceName) -> Handle<Service> {
        self.services.intern(Service {
            name: Arc::from(name.name.as_str()),
            namespace: Arc::from(name.namespace.as_str()),
            ambiguous: false,
        })
    }
}

// === impl ShadowedRule ===

impl std::fmt::Display for ShadowedRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rule, by } = self;
        write!(
            f,
            "rules::{rule}: its names are not used for anything that rules::{by} also matches, because the first match wins"
        )
    }
}
