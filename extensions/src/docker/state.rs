//! What is known of a daemon's containers, as of now and for a while as of before.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use ipnet::IpNet;
use longwave_pipeline::model::{Endpoint, Handle, Service, UnixNanos, Workload};

use super::container::{Attached, Container, ContainerId, Life};
use crate::history::{Bounds, History};

/// Everything that is known.
pub(super) struct State {
    names: History<ContainerId, Handle<Workload>>,
    addresses: History<IpAddr, Holder>,
    published: History<Endpoint, Holder>,
    /// Containers that have not ended.
    live: HashMap<ContainerId, Live, RandomState>,
    around: Around,
}

/// Who has an address or a port.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Holder {
    pub container: ContainerId,
    pub workload: Handle<Workload>,
    pub service: Option<Handle<Service>>,
}

/// How it is known what is told of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// By an event. `begun`: one that tells when addresses and ports begin to be used.
    Event { at: UnixNanos, begun: bool },
    /// By a list, or an inspection without a cause. What ended at an unknown time, ended at `lost`.
    Seen { now: UnixNanos, lost: UnixNanos },
}

struct Live {
    holder: Holder,
    attached: Vec<Attached>,
    published: Vec<Endpoint>,
    running: bool,
}

/// What follows from all containers together.
#[derive(Default)]
struct Around {
    subnets: Vec<IpNet>,
    gateways: HashSet<IpAddr>,
    /// Where ports are published; unspecified for all of the host's.
    published: HashSet<IpAddr>,
    /// The host's addresses.
    own: HashSet<IpAddr>,
}

// === impl State ===

impl State {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            names: History::new(bounds),
            addresses: History::new(bounds),
            published: History::new(bounds),
            live: HashMap::default(),
            around: Around::default(),
        }
    }

    /// Takes in what is true of a container, named as `holder`.
    pub fn apply(&mut self, container: &Container, holder: Holder, told: Told) {
        let at = match told {
            Told::Event { at, .. } | Told::Seen { now: at, .. } => at,
        };
        if let Life::Ended { at: ended } = container.life {
            self.end(
                container.id,
                match told {
                    // Sockets may outlive the process that the container is for; the event comes after both.
                    Told::Event { at, .. } => at,
                    Told::Seen { lost, .. } => ended.unwrap_or(lost),
                },
            );
            return;
        }
        let id = container.id;
        let from = if self.names.latest(&id).is_none() { UnixNanos(0) } else { at };
        self.names.set(id, holder.workload.clone(), from);
        if let Some(former) = self.live.remove(&id) {
            let gone =
                |attached: &&Attached| !container.attached.iter().any(|new| new.address == attached.address);
            for attached in former.attached.iter().filter(gone) {
                self.addresses.end(&attached.address, &former.holder, at);
            }
            for endpoint in former.published.iter().filter(|port| !container.published.contains(port)) {
                self.published.end(endpoint, &former.holder, at);
            }
        }
        let started = match container.life {
            Life::Running { since } => since.unwrap_or(at),
            Life::Created | Life::Ended { .. } => at,
        };
        for attached in &container.attached {
            set(&mut self.addresses, attached.address, holder.clone(), started, told);
        }
        for endpoint in &container.published {
            set(&mut self.published, *endpoint, holder.clone(), started, told);
        }
        let running = matches!(container.life, Life::Running { .. });
        let (attached, published) = (container.attached.clone(), container.published.clone());
        self.live.insert(id, Live { holder, attached, published, running });
        self.around.derive(self.live.values());
    }

    /// A container is no more, since `at`.
    pub fn end(&mut self, id: ContainerId, at: UnixNanos) {
        let Some(former) = self.live.remove(&id) else { return };
        for attached in &former.attached {
            self.addresses.end(&attached.address, &former.holder, at);
        }
        for endpoint in &former.published {
            self.published.end(endpoint, &former.holder, at);
        }
        self.names.end_current(&id, at);
        self.around.derive(self.live.values());
    }

    /// These are the host's addresses.
    pub fn set_own(&mut self, own: HashSet<IpAddr>) {
        self.around.own = own;
    }

    /// Forgets what ended long ago.
    pub fn forget(&mut self, now: UnixNanos) {
        self.names.forget(now);
        self.addresses.forget(now);
        self.published.forget(now);
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
    pub fn remembered(&self) -> usize {
        self.names.remembered() + self.addresses.remembered() + self.published.remembered()
    }

    /// The container's name at `at`; ids are never used again, so also before it was first told of and after it ended.
    pub fn workload(&self, id: ContainerId, at: UnixNanos) -> Option<&Handle<Workload>> {
        self.names.at(&id, at).or_else(|| self.names.latest(&id))
    }

    /// Who had the address at `at`.
    pub fn at_address(&self, address: IpAddr, at: UnixNanos) -> Option<&Holder> {
        self.addresses.at(&address, at)
    }

    /// Who had published the port at `at`.
    pub fn at_published(&self, asked: Endpoint, at: UnixNanos) -> Option<&Holder> {
        let everywhere = |address: IpAddr| self.published.at(&Endpoint { address, port: asked.port }, at);
        let exact = self.published.at(&asked, at);
        exact.or_else(|| {
            self.around.own.contains(&asked.address).then(|| everywhere(unspecified(asked.address)))?
        })
    }

    /// Whether a container may yet turn up that has the address.
    pub fn may_be_container(&self, address: IpAddr) -> bool {
        self.around.subnets.iter().any(|subnet| subnet.contains(&address))
            && !self.around.gateways.contains(&address)
    }

    /// Whether connections to the address may be led to a container.
    pub fn is_translated(&self, address: IpAddr) -> bool {
        let Around { published, own, .. } = &self.around;
        if address.is_loopback() || published.is_empty() {
            return false;
        }
        published.contains(&address) || published.contains(&unspecified(address)) && own.contains(&address)
    }
}

fn set<K: std::hash::Hash + Eq + Clone>(
    history: &mut History<K, Holder>,
    key: K,
    holder: Holder,
    started: UnixNanos,
    told: Told,
) {
    let known = history.current(&key).is_some_and(|current| current.container == holder.container);
    match told {
        // It had the key already: what is new is its name.
        Told::Event { at, .. } | Told::Seen { now: at, .. } if known => history.set(key, holder, at),
        Told::Event { at, begun: true } => history.set(key, holder, at),
        Told::Event { at, .. } | Told::Seen { now: at, .. } => {
            history.set_since(key, holder, started.min(at), at)
        }
    }
}

fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

// === impl Around ===

impl Around {
    fn derive<'a>(&mut self, live: impl Iterator<Item = &'a Live>) {
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
