//! Table of services by address, and of their backends.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use longwave_pipeline::model::{Handle, Interner, Service, UnixNanos};

use super::Update;
use super::counted_set::CountedSet;
use super::ranges::AddressRanges;
use super::shared_keys::SharedKeys;
use super::string_pool::StringPool;
use crate::history::{Bounds, History};
use crate::kubernetes::objects::{self, EndpointSlice, Uid};

/// Table of all services and the slices of their endpoints.
pub(in crate::kubernetes) struct Services {
    strings: StringPool,
    interner: Interner<Service>,
    services: HashMap<Uid, ServiceEntry, RandomState>,
    slices: HashMap<Uid, SliceEntry, RandomState>,
    frontends: SharedKeys<(IpAddr, u16), Handle<Service>, Handle<Service>>,
    node_ports: SharedKeys<u16, Handle<Service>, Handle<Service>>,
    /// Services that select pods, with their uids. Only their slices are believed.
    selecting: History<Handle<Service>, Uid>,
    backends: SharedKeys<(IpAddr, u16), BackendService, Backings>,
    addresses: CountedSet<IpAddr>,
    ranges: AddressRanges,
}

/// The service and pod to which an address and port belong, as a slice declares.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::kubernetes) struct BackendService {
    /// The service, which may not exist.
    pub service: Handle<Service>,
    /// [`Uid::short`] of the pod, which may have no such address; 0 if there is none.
    pub pod: u64,
}

/// What all slices declare of one address and port. Nearly all have one declaration.
#[derive(Clone, Debug, PartialEq)]
enum Backings {
    One(BackendService),
    /// At least two, each different.
    Several(Box<[BackendService]>),
}

struct ServiceEntry {
    listing: u32,
    service: Handle<Service>,
    selects: bool,
    addresses: Box<[IpAddr]>,
    ports: Box<[u16]>,
    node_ports: Box<[u16]>,
}

struct SliceEntry {
    listing: u32,
    service: Handle<Service>,
    backends: Box<[objects::Backend]>,
}

/// Resolution of times in the API, in nanoseconds.
const API_TIME_RESOLUTION: u64 = 1_000_000_000;

// === impl Services ===

impl Services {
    /// Returns an empty table.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            strings: StringPool::default(),
            interner: Interner::default(),
            services: HashMap::default(),
            slices: HashMap::default(),
            frontends: SharedKeys::new(bounds),
            node_ports: SharedKeys::new(bounds),
            selecting: History::new(bounds),
            backends: SharedKeys::new(bounds),
            addresses: CountedSet::default(),
            ranges: AddressRanges::new(16, 112),
        }
    }

    /// Adds or updates a service. Returns false if it has no uid.
    pub fn apply(&mut self, service: &objects::Service<'_>, update: Update) -> bool {
        let Some(uid) = service.metadata.uid() else { return false };
        let handle = self.handle(&service.metadata.namespace, &service.metadata.name);
        let after = ServiceEntry {
            listing: update.listing,
            service: handle,
            selects: service.selects(),
            addresses: service.addresses().into(),
            ports: service.ports().into(),
            node_ports: service.node_ports().into(),
        };
        let before = self.services.remove(&uid);
        // A new service has its addresses since its creation. Later changes are valid since about now.
        let since = match (&before, service.metadata.created()) {
            (None, Some(created)) => created.min(update.now),
            _ => update.since,
        };
        match (before.as_ref().is_some_and(|before| before.selects), after.selects) {
            (true, false) => self.selecting.end(&after.service, &uid, update.now),
            (false, true) if before.is_none() => self.selecting.set(after.service.clone(), uid, since),
            (false, true) => self.selecting.set_since(after.service.clone(), uid, since, update.now),
            _ => {}
        }
        self.replace_service(before.as_ref(), Some(&after), Update { since, ..update });
        self.services.insert(uid, after);
        true
    }

    /// Removes a service.
    pub fn remove(&mut self, uid: Uid, now: UnixNanos) {
        if let Some(entry) = self.services.remove(&uid) {
            self.selecting.end(&entry.service, &uid, now);
            self.replace_service(Some(&entry), None, Update { now, since: now, listing: entry.listing });
        }
    }

    /// Adds or updates a slice. Returns false if it has no uid.
    pub fn apply_slice(&mut self, slice: &EndpointSlice<'_>, update: Update) -> bool {
        let Some(uid) = slice.metadata.uid() else { return false };
        let Some(name) = slice.service() else {
            self.remove_slice(uid, update.now);
            return true;
        };
        let service = self.handle(&slice.metadata.namespace, &name);
        let after = SliceEntry { listing: update.listing, service, backends: slice.backends().into() };
        let before = self.slices.remove(&uid);
        self.replace_slice(before.as_ref(), Some(&after), update);
        self.slices.insert(uid, after);
        true
    }

    /// Removes a slice.
    pub fn remove_slice(&mut self, uid: Uid, now: UnixNanos) {
        if let Some(entry) = self.slices.remove(&uid) {
            self.replace_slice(Some(&entry), None, Update { now, since: now, listing: entry.listing });
        }
    }

    /// Removes the services that the complete listing `listing` did not contain. Returns their number.
    pub fn complete(&mut self, listing: u32, now: UnixNanos) -> usize {
        let unseen = self.services.iter().filter(|(_, entry)| entry.listing != listing);
        let unseen: Vec<Uid> = unseen.map(|(uid, _)| *uid).collect();
        unseen.iter().for_each(|uid| self.remove(*uid, now));
        unseen.len()
    }

    /// Removes the slices that the complete listing `listing` did not contain. Returns their number.
    pub fn complete_slices(&mut self, listing: u32, now: UnixNanos) -> usize {
        let unseen = self.slices.iter().filter(|(_, entry)| entry.listing != listing);
        let unseen: Vec<Uid> = unseen.map(|(uid, _)| *uid).collect();
        unseen.iter().for_each(|uid| self.remove_slice(*uid, now));
        unseen.len()
    }

    /// Evicts what ended long ago.
    pub fn evict_expired(&mut self, now: UnixNanos) {
        self.frontends.evict_expired(now);
        self.node_ports.evict_expired(now);
        self.selecting.evict_expired(now);
        self.backends.evict_expired(now);
    }

    /// Returns the number of changes so far that may change the result of a look-up.
    pub fn changes(&self) -> u64 {
        self.frontends.changes()
            + self.node_ports.changes()
            + self.selecting.changes()
            + self.backends.changes()
            + self.addresses.changes()
    }

    /// Returns the numbers of services and slices.
    pub fn counts(&self) -> [usize; 2] {
        [self.services.len(), self.slices.len()]
    }

    /// Returns the numbers of former values of services and of slices that are kept.
    pub fn past_len(&self) -> [usize; 2] {
        let of_services = self.frontends.past_len() + self.node_ports.past_len() + self.selecting.past_len();
        [of_services, self.backends.past_len()]
    }

    /// Returns the service that had the address and port at `at`.
    #[inline]
    pub fn of_address(&self, address: IpAddr, port: u16, at: UnixNanos) -> Option<&Handle<Service>> {
        self.frontends.at(&(address, port), at)
    }

    /// Returns the service that had the port on every node at `at`.
    pub fn of_node_port(&self, port: u16, at: UnixNanos) -> Option<&Handle<Service>> {
        self.node_ports.at(&port, at)
    }

    /// Returns whether a service has the port on every node now.
    pub fn is_node_port(&self, port: u16) -> bool {
        self.node_ports.has(&port)
    }

    /// Returns the services and pods to which the address and port belonged at `at`, as the slices of services that existed and selected
    /// pods declared.
    #[inline]
    pub fn of_backend(
        &self,
        address: IpAddr,
        port: u16,
        at: UnixNanos,
    ) -> impl Iterator<Item = &BackendService> + Clone {
        let declared = move |port| self.backends.at(&(address, port), at).into_iter().flat_map(Backings::all);
        declared(port)
            .chain(declared(0))
            .filter(move |backend| self.selecting.at(&backend.service, at).is_some())
    }

    /// Returns the time since which slices declare what they did at `at`. `None` if they declared nothing.
    pub fn backend_since(&self, address: IpAddr, port: u16, at: UnixNanos) -> Option<UnixNanos> {
        [port, 0].into_iter().filter_map(|port| self.backends.since(&(address, port), at)).max()
    }

    /// Returns the first service by namespace and name, marked as ambiguous if there are several.
    pub fn first<'s>(&self, services: impl Iterator<Item = &'s Handle<Service>>) -> Option<Handle<Service>> {
        first(&self.interner, services)
    }

    /// Returns whether it is an address of a service.
    pub fn is_address(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }

    /// Returns whether a service has an address in the same network.
    pub fn is_near(&self, address: IpAddr) -> bool {
        self.ranges.contains(address)
    }

    #[cfg(test)]
    pub fn sizes(&self) -> [usize; 9] {
        [
            self.services.len(),
            self.slices.len(),
            self.frontends.len(),
            self.node_ports.len(),
            self.selecting.len(),
            self.backends.len(),
            self.addresses.len(),
            self.ranges.len(),
            self.past_len().iter().sum(),
        ]
    }

    fn handle(&mut self, namespace: &str, name: &str) -> Handle<Service> {
        let (name, namespace) = (self.strings.get(name), self.strings.get(namespace));
        self.interner.intern(Service { name, namespace, ambiguous: false })
    }

    fn replace_service(
        &mut self,
        before: Option<&ServiceEntry>,
        after: Option<&ServiceEntry>,
        update: Update,
    ) {
        let Self { interner, frontends, node_ports, addresses, ranges, .. } = self;
        let means = |declarations: &[Handle<Service>]| first(interner, declarations.iter());
        if let Some(entry) = after {
            for key in entry.keys().filter(|key| !before.is_some_and(|before| before.has(*key))) {
                // Creation times are whole seconds. If another service had the address in that second, this one has it from the end of the
                // second.
                let delay = if frontends.at(&key, update.since).is_some() { API_TIME_RESOLUTION } else { 0 };
                let since = UnixNanos(update.since.0.saturating_add(delay)).min(update.now);
                frontends.add(key, entry.service.clone(), Update { since, ..update }, means);
            }
            for port in
                entry.node_ports.iter().filter(|port| !before.is_some_and(|b| b.node_ports.contains(port)))
            {
                node_ports.add(*port, entry.service.clone(), update, means);
            }
            for address in &entry.addresses {
                addresses.add(*address);
                ranges.add(*address);
            }
        }
        if let Some(entry) = before {
            for key in entry.keys().filter(|key| !after.is_some_and(|after| after.has(*key))) {
                frontends.remove(key, &entry.service, update, means);
            }
            for port in
                entry.node_ports.iter().filter(|port| !after.is_some_and(|a| a.node_ports.contains(port)))
            {
                node_ports.remove(*port, &entry.service, update, means);
            }
            for address in &entry.addresses {
                addresses.remove(address);
                ranges.remove(*address);
            }
        }
    }

    fn replace_slice(&mut self, before: Option<&SliceEntry>, after: Option<&SliceEntry>, update: Update) {
        let Self { backends, .. } = self;
        let means = Backings::of;
        let same = before.map(|slice| &slice.service) == after.map(|slice| &slice.service);
        let missing_in = |other: Option<&SliceEntry>, slice: &SliceEntry| -> Vec<_> {
            let present = |backend: &objects::Backend| {
                same && other.is_some_and(|other| other.backends.binary_search(backend).is_ok())
            };
            let declare = |backend: &objects::Backend| {
                let service = slice.service.clone();
                ((backend.address, backend.port), BackendService { service, pod: backend.pod })
            };
            slice.backends.iter().filter(|backend| !present(backend)).map(declare).collect()
        };
        if let Some(slice) = after {
            for (key, declaration) in missing_in(before, slice) {
                backends.add(key, declaration, update, means);
            }
        }
        if let Some(slice) = before {
            for (key, declaration) in missing_in(after, slice) {
                backends.remove(key, &declaration, update, means);
            }
        }
    }
}

// === impl Backings ===

impl Backings {
    /// Returns each declaration once.
    fn of(declarations: &[BackendService]) -> Option<Self> {
        let mut different: Vec<&BackendService> = Vec::new();
        for declaration in declarations {
            if !different.contains(&declaration) {
                different.push(declaration);
            }
        }
        match different[..] {
            [] => None,
            [only] => Some(Self::One(only.clone())),
            _ => Some(Self::Several(different.into_iter().cloned().collect())),
        }
    }

    fn all(&self) -> &[BackendService] {
        match self {
            Self::One(only) => std::slice::from_ref(only),
            Self::Several(all) => all,
        }
    }
}

// === impl ServiceEntry ===

impl ServiceEntry {
    fn keys(&self) -> impl Iterator<Item = (IpAddr, u16)> + '_ {
        let ports = &self.ports;
        self.addresses.iter().flat_map(move |address| ports.iter().map(move |port| (*address, *port)))
    }

    fn has(&self, (address, port): (IpAddr, u16)) -> bool {
        self.addresses.contains(&address) && self.ports.contains(&port)
    }
}

/// Returns the first service by namespace and name, marked as ambiguous if there are several.
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
