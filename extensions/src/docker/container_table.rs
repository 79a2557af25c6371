//! What is known of a daemon's containers, as of now and for a while as of before.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use ipnet::IpNet;
use longwave_pipeline::model::{Endpoint, Handle, Service, UnixNanos, Workload};

use super::container::{AttachedAddress, Container, ContainerId, ContainerState};
use crate::history::{Bounds, History};

/// Everything that is known.
pub(super) struct ContainerTable {
    names: History<ContainerId, Handle<Workload>>,
    addresses: History<IpAddr, ContainerNames>,
    published: History<Endpoint, ContainerNames>,
    /// Containers that have not ended.
    live: HashMap<ContainerId, LiveContainer, RandomState>,
    address_sets: AddressSets,
}

/// Who has an address or a port.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ContainerNames {
    pub container: ContainerId,
    pub workload: Handle<Workload>,
    pub service: Option<Handle<Service>>,
}

/// How it is known what is told of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpdateSource {
    /// By an event. `begun`: one that tells when addresses and ports begin to be used.
    Event { at: UnixNanos, begun: bool },
    /// By a list, or an inspection without a cause. What ended at an unknown time, ended at `lost`.
    Poll { now: UnixNanos, lost: UnixNanos },
}

struct LiveContainer {
    names: ContainerNames,
    attached: Vec<AttachedAddress>,
    published: Vec<Endpoint>,
    running: bool,
}

/// What follows from all containers together.
#[derive(Default)]
struct AddressSets {
    subnets: Vec<IpNet>,
    gateways: HashSet<IpAddr>,
    /// Where ports are published; unspecified for all of the host's.
    published: HashSet<IpAddr>,
    /// The host's addresses.
    own: HashSet<IpAddr>,
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

    /// Takes in what is true of a container, named as `names`.
    pub fn apply(&mut self, container: &Container, names: ContainerNames, told: UpdateSource) {
        let at = match told {
            UpdateSource::Event { at, .. } | UpdateSource::Poll { now: at, .. } => at,
        };
        if let ContainerState::Ended { at: ended } = container.state {
            self.end(
                container.id,
                match told {
                    // Sockets may outlive the process that the container is for; the event comes after both.
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
            let gone = |attached: &&AttachedAddress| {
                !container.attached.iter().any(|new| new.address == attached.address)
            };
            for attached in former.attached.iter().filter(gone) {
                self.addresses.end(&attached.address, &former.names, at);
            }
            for endpoint in former.published.iter().filter(|port| !container.published.contains(port)) {
                self.published.end(endpoint, &former.names, at);
            }
        }
        let started = match container.state {
            ContainerState::Running { since } => since.unwrap_or(at),
            ContainerState::Created | ContainerState::Ended { .. } => at,
        };
        for attached in &container.attached {
            set(&mut self.addresses, attached.address, names.clone(), started, told);
        }
        for endpoint in &container.published {
            set(&mut self.published, *endpoint, names.clone(), started, told);
        }
        let running = matches!(container.state, ContainerState::Running { .. });
        let (attached, published) = (container.attached.clone(), container.published.clone());
        self.live.insert(id, LiveContainer { names, attached, published, running });
        self.address_sets.derive(self.live.values());
    }

    /// A container is no more, since `at`.
    pub fn end(&mut self, id: ContainerId, at: UnixNanos) {
        let Some(former) = self.live.remove(&id) else { return };
        for attached in &former.attached {
            self.addresses.end(&attached.address, &former.names, at);
        }
        for endpoint in &former.published {
            self.published.end(endpoint, &former.names, at);
        }
        self.names.end_current(&id, at);
        self.address_sets.derive(self.live.values());
    }

    /// These are the host's addresses.
    pub fn set_own(&mut self, own: HashSet<IpAddr>) {
        self.address_sets.own = own;
    }

    /// Forgets what ended long ago.
    pub fn evict_expired(&mut self, now: UnixNanos) {
        self.names.evict_expired(now);
        self.addresses.evict_expired(now);
        self.published.evict_expired(now);
    }

    /// Containers that run.
    pub fn running(&self) -> impl Iterator<Item = ContainerId> {
        self.live.iter().filter(|(_, live)| live.running).map(|(id, _)| *id)
    }

    /// Whether the container is known to run.
    pub fn is_running(&self, id: ContainerId) -> bool {
        self.live.get(&id).is_some_and(|live| live.running)
    }

    /// Containers that have not ended.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Spans of the past that are remembered.
    #[cfg(test)]
    pub fn past_len(&self) -> usize {
        self.names.past_len() + self.addresses.past_len() + self.published.past_len()
    }

    /// The container's name at `at`; ids are never used again, so also before it was first told of and after it ended.
    pub fn workload(&self, id: ContainerId, at: UnixNanos) -> Option<&Handle<Workload>> {
        self.names.at(&id, at).or_else(|| self.names.latest(&id))
    }

    /// Who had the address at `at`.
    pub fn at_address(&self, address: IpAddr, at: UnixNanos) -> Option<&ContainerNames> {
        self.addresses.at(&address, at)
    }

    /// Who had published the port at `at`.
    pub fn at_published(&self, asked: Endpoint, at: UnixNanos) -> Option<&ContainerNames> {
        let everywhere = |address: IpAddr| self.published.at(&Endpoint { address, port: asked.port }, at);
        let exact = self.published.at(&asked, at);
        exact.or_else(|| {
            self.address_sets.own.contains(&asked.address).then(|| everywhere(unspecified(asked.address)))?
        })
    }

    /// Whether a container may yet turn up that has the address.
    pub fn may_be_container(&self, address: IpAddr) -> bool {
        self.address_sets.subnets.iter().any(|subnet| subnet.contains(&address))
            && !self.address_sets.gateways.contains(&address)
    }

    /// Whether connections to the address may be led to a container.
    pub fn is_translated(&self, address: IpAddr) -> bool {
        let AddressSets { published, own, .. } = &self.address_sets;
        if address.is_loopback() || published.is_empty() {
            return false;
        }
        published.contains(&address) || published.contains(&unspecified(address)) && own.contains(&address)
    }
}

fn set<K: std::hash::Hash + Eq + Clone>(
    history: &mut History<K, ContainerNames>,
    key: K,
    names: ContainerNames,
    started: UnixNanos,
    told: UpdateSource,
) {
    let known = history.current(&key).is_some_and(|current| current.container == names.container);
    match told {
        // It had the key already: what is new is its name.
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
