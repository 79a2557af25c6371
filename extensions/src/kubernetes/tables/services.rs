//! Services: which addresses ask for them, and who stands behind them.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use longwave_pipeline::model::{Handle, Interner, Service, UnixNanos};

use super::claims::Claims;
use super::ranges::Ranges;
use super::words::Words;
use super::{Counted, News};
use crate::history::Bounds;
use crate::kubernetes::objects::{self, EndpointSlice, Uid};

/// All services and the slices of their endpoints.
pub(in crate::kubernetes) struct Services {
    words: Words,
    interner: Interner<Service>,
    services: HashMap<Uid, Asked, RandomState>,
    slices: HashMap<Uid, Slice, RandomState>,
    asked: Claims<(IpAddr, u16), Handle<Service>, Handle<Service>>,
    node_ports: Claims<u16, Handle<Service>, Handle<Service>>,
    backends: Claims<(IpAddr, u16), Backing, Backing>,
    addresses: Counted,
    ranges: Ranges,
}

/// What stands behind an address and port of a slice.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::kubernetes) struct Backing {
    /// The service; of several the first, marked.
    pub service: Handle<Service>,
    /// [`Uid::short`] of the pod; 0: none, or several.
    pub pod: u64,
}

struct Asked {
    round: u32,
    service: Handle<Service>,
    addresses: Box<[IpAddr]>,
    ports: Box<[u16]>,
    node_ports: Box<[u16]>,
}

struct Slice {
    round: u32,
    service: Handle<Service>,
    backends: Box<[objects::Backend]>,
}

/// The API tells of no less, in nanoseconds.
const SECOND: u64 = 1_000_000_000;

// === impl Services ===

impl Services {
    /// None yet.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            words: Words::default(),
            interner: Interner::default(),
            services: HashMap::default(),
            slices: HashMap::default(),
            asked: Claims::new(bounds),
            node_ports: Claims::new(bounds),
            backends: Claims::new(bounds),
            addresses: Counted::default(),
            ranges: Ranges::new(16, 112),
        }
    }

    /// The service is so now. False if it has no uid.
    pub fn apply(&mut self, service: &objects::Service<'_>, news: News) -> bool {
        let Some(uid) = service.metadata.uid() else { return false };
        let handle = self.handle(&service.metadata.namespace, &service.metadata.name);
        let after = Asked {
            round: news.round,
            service: handle,
            addresses: service.addresses().into(),
            ports: service.ports().into(),
            node_ports: service.node_ports().into(),
        };
        let before = self.services.remove(&uid);
        // What it is first seen with it has since it was made; what changes later, since about now.
        let since = match (&before, service.metadata.created()) {
            (None, Some(created)) => created.min(news.now),
            _ => news.since,
        };
        self.replace_service(before.as_ref(), Some(&after), News { since, ..news });
        self.services.insert(uid, after);
        true
    }

    /// The service is no more.
    pub fn remove(&mut self, uid: Uid, now: UnixNanos) {
        if let Some(entry) = self.services.remove(&uid) {
            self.replace_service(Some(&entry), None, News { now, since: now, round: entry.round });
        }
    }

    /// The slice is so now. False if it has no uid.
    pub fn apply_slice(&mut self, slice: &EndpointSlice<'_>, news: News) -> bool {
        let Some(uid) = slice.metadata.uid() else { return false };
        let Some(name) = slice.service() else {
            self.remove_slice(uid, news.now);
            return true;
        };
        let service = self.handle(&slice.metadata.namespace, &name);
        let after = Slice { round: news.round, service, backends: slice.backends().into() };
        let before = self.slices.remove(&uid);
        self.replace_slice(before.as_ref(), Some(&after), news);
        self.slices.insert(uid, after);
        true
    }

    /// The slice is no more.
    pub fn remove_slice(&mut self, uid: Uid, now: UnixNanos) {
        if let Some(entry) = self.slices.remove(&uid) {
            self.replace_slice(Some(&entry), None, News { now, since: now, round: entry.round });
        }
    }

    /// A listing of services is complete: others are no more. Returns how many.
    pub fn complete(&mut self, round: u32, now: UnixNanos) -> usize {
        let unseen = self.services.iter().filter(|(_, entry)| entry.round != round);
        let unseen: Vec<Uid> = unseen.map(|(uid, _)| *uid).collect();
        unseen.iter().for_each(|uid| self.remove(*uid, now));
        unseen.len()
    }

    /// A listing of slices is complete: others are no more. Returns how many.
    pub fn complete_slices(&mut self, round: u32, now: UnixNanos) -> usize {
        let unseen = self.slices.iter().filter(|(_, entry)| entry.round != round);
        let unseen: Vec<Uid> = unseen.map(|(uid, _)| *uid).collect();
        unseen.iter().for_each(|uid| self.remove_slice(*uid, now));
        unseen.len()
    }

    /// Forgets what ended long ago.
    pub fn forget(&mut self, now: UnixNanos) {
        self.asked.forget(now);
        self.node_ports.forget(now);
        self.backends.forget(now);
    }

    /// Moves when there is an answer that there was not before.
    pub fn news(&self) -> u64 {
        self.asked.news() + self.node_ports.news() + self.backends.news() + self.addresses.news
    }

    /// Services and slices known.
    pub fn counts(&self) -> [usize; 2] {
        [self.services.len(), self.slices.len()]
    }

    /// Facts of services and of slices that are no longer true and remembered.
    pub fn remembered(&self) -> [usize; 2] {
        [self.asked.remembered() + self.node_ports.remembered(), self.backends.remembered()]
    }

    /// The service that has the address and port.
    #[inline]
    pub fn of_address(&self, address: IpAddr, port: u16, at: UnixNanos) -> Option<&Handle<Service>> {
        self.asked.at(&(address, port), at)
    }

    /// The service that has the port on every node.
    pub fn of_node_port(&self, port: u16, at: UnixNanos) -> Option<&Handle<Service>> {
        self.node_ports.at(&port, at)
    }

    /// Whose backend it is.
    #[inline]
    pub fn of_backend(&self, address: IpAddr, port: u16, at: UnixNanos) -> Option<&Backing> {
        self.backends.at(&(address, port), at).or_else(|| self.backends.at(&(address, 0), at))
    }

    /// It is an address of a service.
    pub fn is_address(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }

    /// Known services have addresses nearby.
    pub fn is_near(&self, address: IpAddr) -> bool {
        self.ranges.contains(address)
    }

    #[cfg(test)]
    pub fn sizes(&self) -> [usize; 8] {
        [
            self.services.len(),
            self.slices.len(),
            self.asked.len(),
            self.node_ports.len(),
            self.backends.len(),
            self.addresses.counts.len(),
            self.ranges.len(),
            self.remembered().iter().sum(),
        ]
    }

    fn handle(&mut self, namespace: &str, name: &str) -> Handle<Service> {
        let (name, namespace) = (self.words.get(name), self.words.get(namespace));
        self.interner.intern(Service { name, namespace, ambiguous: false })
    }

    fn replace_service(&mut self, before: Option<&Asked>, after: Option<&Asked>, news: News) {
        let Self { interner, asked, node_ports, addresses, ranges, .. } = self;
        let means = |claims: &[Handle<Service>]| first(interner, claims.iter());
        if let Some(entry) = after {
            for key in entry.keys().filter(|key| !before.is_some_and(|before| before.has(*key))) {
                // Another had the address in the second that the API tells: it is this one's for sure when that is over.
                let doubt = if asked.at(&key, news.since).is_some() { SECOND } else { 0 };
                let since = UnixNanos(news.since.0.saturating_add(doubt)).min(news.now);
                asked.add(key, entry.service.clone(), News { since, ..news }, means);
            }
            for port in
                entry.node_ports.iter().filter(|port| !before.is_some_and(|b| b.node_ports.contains(port)))
            {
                node_ports.add(*port, entry.service.clone(), news, means);
            }
            for address in &entry.addresses {
                addresses.add(*address);
                ranges.add(*address);
            }
        }
        if let Some(entry) = before {
            for key in entry.keys().filter(|key| !after.is_some_and(|after| after.has(*key))) {
                asked.remove(key, &entry.service, news, means);
            }
            for port in
                entry.node_ports.iter().filter(|port| !after.is_some_and(|a| a.node_ports.contains(port)))
            {
                node_ports.remove(*port, &entry.service, news, means);
            }
            for address in &entry.addresses {
                addresses.remove(address);
                ranges.remove(*address);
            }
        }
    }

    fn replace_slice(&mut self, before: Option<&Slice>, after: Option<&Slice>, news: News) {
        let Self { interner, backends, .. } = self;
        let means = |claims: &[Backing]| {
            let service = first(interner, claims.iter().map(|claim| &claim.service))?;
            let pod = claims.first()?.pod;
            Some(Backing { service, pod: if claims.iter().all(|claim| claim.pod == pod) { pod } else { 0 } })
        };
        let same = before.map(|slice| &slice.service) == after.map(|slice| &slice.service);
        let fresh = |slice: &Slice, backend: &objects::Backend, other: Option<&Slice>| {
            let held = other.is_some_and(|other| other.backends.binary_search(backend).is_ok());
            (!same || !held).then(|| {
                (
                    (backend.address, backend.port),
                    Backing { service: slice.service.clone(), pod: backend.pod },
                )
            })
        };
        if let Some(slice) = after {
            for (key, claim) in slice.backends.iter().filter_map(|backend| fresh(slice, backend, before)) {
                backends.add(key, claim, news, means);
            }
        }
        if let Some(slice) = before {
            for (key, claim) in slice.backends.iter().filter_map(|backend| fresh(slice, backend, after)) {
                backends.remove(key, &claim, news, means);
            }
        }
    }
}

// === impl Asked ===

impl Asked {
    fn keys(&self) -> impl Iterator<Item = (IpAddr, u16)> + '_ {
        let ports = &self.ports;
        self.addresses.iter().flat_map(move |address| ports.iter().map(move |port| (*address, *port)))
    }

    fn has(&self, (address, port): (IpAddr, u16)) -> bool {
        self.addresses.contains(&address) && self.ports.contains(&port)
    }
}

/// Of several services the first by namespace and name, marked.
fn first<'s>(
    interner: &Interner<Service>,
    mut services: impl Iterator<Item = &'s Handle<Service>>,
) -> Option<Handle<Service>> {
    let mut first = services.next()?;
    let mut ambiguous = false;
    for other in services {
        ambiguous |= other != first;
        if (&other.namespace, &other.name) < (&first.namespace, &first.name) {
            first = other;
        }
    }
    Some(if !ambiguous {
        first.clone()
    } else {
        let Service { name, namespace, .. } = &**first;
        interner.intern(Service { name: Arc::clone(name), namespace: Arc::clone(namespace), ambiguous: true })
    })
}
