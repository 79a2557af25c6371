//! Table of a daemon's containers, current and recent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use ipnet::IpNet;
use longwave_pipeline::model::{Endpoint, Handle, Service, UnixNanos, Workload};

use super::container::{AttachedAddress, Container, ContainerId, ContainerState};
use crate::history::{Bounds, History};

/// All containers, with their names, addresses and published ports as of a time.
pub(super) struct ContainerTable {
    names: History<ContainerId, Handle<Workload>>,
    addresses: History<IpAddr, ContainerNames>,
    published: History<Endpoint, ContainerNames>,
    /// Containers that have not ended.
    live: HashMap<ContainerId, LiveContainer, RandomState>,
    address_sets: AddressSets,
}

/// Names of the container that has an address or a port.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ContainerNames {
    pub container: ContainerId,
    pub workload: Handle<Workload>,
    pub service: Option<Handle<Service>>,
}

/// Where an update of a container comes from, which decides when it starts to be valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpdateSource {
    /// An event. `begun`: addresses and ports are in use from this event on.
    Event { at: UnixNanos, begun: bool },
    /// A list, or an inspection without an event. If a container ended at an unknown time, `lost` is that time.
    Poll { now: UnixNanos, lost: UnixNanos },
}

struct LiveContainer {
    names: ContainerNames,
    attached: Vec<AttachedAddress>,
    published: Vec<Endpoint>,
    running: bool,
}

/// Sets of addresses, derived from all containers together.
#[derive(Default)]
struct AddressSets {
    subnets: Vec<IpNet>,
    gateways: HashSet<IpAddr>,
    /// Addresses on which ports are published. The unspecified address stands for all addresses of the host.
    published: HashSet<IpAddr>,
    /// Addresses of the host.
    host: HashSet<IpAddr>,
}

// === impl ContainerTable ===

impl ContainerTable {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            names: History::new(bounds),
            addresses: History::new(bounds),
            published: History::new(bounds),
            live: HashMap::default(),
            address_sets: AddressSets::default(),
        }
    }

    /// Adds or updates a container. `names` are those of the container.
    pub fn apply(&mut self, container: &Container, names: ContainerNames, source: UpdateSource) {
        let at = match source {
            UpdateSource::Event { at, .. } | UpdateSource::Poll { now: at, .. } => at,
        };
        if let ContainerState::Ended { at: ended } = container.state {
            self.end(
                container.id,
                match source {
                    // Sockets may outlive the container's main process. The event comes after both.
                    UpdateSource::Event { at, .. } => at,
                    UpdateSource::Poll { lost, .. } => ended.unwrap_or(lost),
                },
            );
            return;
        }
        let id = container.id;
        let from = if self.names.latest(&id).is_none() { UnixNanos(0) } else { at };
        self.names.set(id, names.workload.clone(), from);
        if let Some(former) = self.live.remove(&id) {
            self.release(&former, Some(container), at);
        }
        let started = match container.state {
            ContainerState::Running { since } => since.unwrap_or(at),
            ContainerState::Created | ContainerState::Ended { .. } => at,
        };
        for attached in &container.attached {
            set(&mut self.addresses, attached.address, names.clone(), started, source);
        }
        for endpoint in &container.published {
            set(&mut self.published, *endpoint, names.clone(), started, source);
        }
        let running = matches!(container.state, ContainerState::Running { .. });
        let (attached, published) = (container.attached.clone(), container.published.clone());
        self.live.insert(id, LiveContainer { names, attached, published, running });
        self.address_sets.derive(self.live.values());
    }

    /// Ends a container at `at`.
    pub fn end(&mut self, id: ContainerId, at: UnixNanos) {
        let Some(former) = self.live.remove(&id) else { return };
        self.release(&former, None, at);
        self.names.end_current(&id, at);
        self.address_sets.derive(self.live.values());
    }

    /// Ends the addresses and ports of `former` that the container does not have any more.
    fn release(&mut self, former: &LiveContainer, container: Option<&Container>, at: UnixNanos) {
        let (attached, published) = container.map_or((&[][..], &[][..]), |c| (&c.attached, &c.published));
        for old in former.attached.iter().filter(|old| attached.iter().all(|new| new.address != old.address))
        {
            self.addresses.end(&old.address, &former.names, at);
        }
        for endpoint in former.published.iter().filter(|endpoint| !published.contains(endpoint)) {
            self.published.end(endpoint, &former.names, at);
        }
    }

    /// Replaces the host's addresses.
    pub fn set_host_addresses(&mut self, host: HashSet<IpAddr>) {
        self.address_sets.host = host;
    }

    /// Evicts what ended long ago.
    pub fn evict_expired(&mut self, now: UnixNanos) {
        self.names.evict_expired(now);
        self.addresses.evict_expired(now);
        self.published.evict_expired(now);
    }

    /// Returns the ids of the running containers.
    pub fn running(&self) -> impl Iterator<Item = ContainerId> {
        self.live.iter().filter(|(_, live)| live.running).map(|(id, _)| *id)
    }

    /// Returns whether the container is running.
    pub fn is_running(&self, id: ContainerId) -> bool {
        self.live.get(&id).is_some_and(|live| live.running)
    }

    /// Returns the number of containers that have not ended.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Returns the number of former values that are kept.
    #[cfg(test)]
    pub fn past_len(&self) -> usize {
        self.names.past_len() + self.addresses.past_len() + self.published.past_len()
    }

    /// Returns the container's workload at `at`. Ids are never used again, so this includes times before its first report and after its
    /// end.
    pub fn workload(&self, id: ContainerId, at: UnixNanos) -> Option<&Handle<Workload>> {
        self.names.at(&id, at).or_else(|| self.names.latest(&id))
    }

    /// Returns the container that had the address at `at`.
    pub fn container_at_address(&self, address: IpAddr, at: UnixNanos) -> Option<&ContainerNames> {
        self.addresses.at(&address, at)
    }

    /// Returns the container that had published the port at `at`.
    pub fn container_at_port(&self, endpoint: Endpoint, at: UnixNanos) -> Option<&ContainerNames> {
        let everywhere = |address: IpAddr| self.published.at(&Endpoint { address, port: endpoint.port }, at);
        let exact = self.published.at(&endpoint, at);
        exact.or_else(|| {
            self.address_sets
                .host
                .contains(&endpoint.address)
                .then(|| everywhere(unspecified(endpoint.address)))?
        })
    }

    /// Returns whether a container that is not known yet may have the address.
    pub fn may_have_container(&self, address: IpAddr) -> bool {
        self.address_sets.subnets.iter().any(|subnet| subnet.contains(&address))
            && !self.address_sets.gateways.contains(&address)
    }

    /// Returns whether connections to the address may be translated to a container.
    pub fn is_translated(&self, address: IpAddr) -> bool {
        let AddressSets { published, host, .. } = &self.address_sets;
        if address.is_loopback() || published.is_empty() {
            return false;
        }
        published.contains(&address) || published.contains(&unspecified(address)) && host.contains(&address)
    }
}

fn set<K: std::hash::Hash + Eq + Clone>(
    history: &mut History<K, ContainerNames>,
    key: K,
    names: ContainerNames,
    started: UnixNanos,
    source: UpdateSource,
) {
    let known = history.current(&key).is_some_and(|current| current.container == names.container);
    match source {
        // The container already had the key, so only its names changed.
        UpdateSource::Event { at, .. } | UpdateSource::Poll { now: at, .. } if known => {
            history.set(key, names, at)
        }
        UpdateSource::Event { at, begun: true } => history.set(key, names, at),
        UpdateSource::Event { at, .. } | UpdateSource::Poll { now: at, .. } => {
            history.set_since(key, names, started.min(at), at)
        }
    }
}

fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

// === impl AddressSets ===

impl AddressSets {
    fn derive<'a>(&mut self, live: impl Iterator<Item = &'a LiveContainer>) {
        self.subnets.clear();
        self.gateways.clear();
        self.published.clear();
        for container in live {
            self.subnets.extend(container.attached.iter().filter_map(|attached| attached.subnet));
            self.gateways.extend(container.attached.iter().filter_map(|attached| attached.gateway));
            self.published.extend(container.published.iter().map(|endpoint| endpoint.address));
        }
        self.subnets.sort_unstable();
        self.subnets.dedup();
    }
}
