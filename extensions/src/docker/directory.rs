//! Resolves names from the table of containers.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use longwave_pipeline::component::{Answer, CgroupName, Directory};
use longwave_pipeline::model::{Endpoint, Handle, Interner, Label, LabelKey, Service, UnixNanos, Workload};
use tokio::sync::Notify;

use super::config::DockerConfig;
use super::container::{Container, ContainerId};
use super::container_table::{ContainerNames, ContainerTable, UpdateSource};
use crate::history::Bounds;

/// Kind of all workloads of this extension.
const KIND: &str = "Container";
/// Longest time after a record until the daemon reports the container that has the record's address.
const START_DELAY: Duration = Duration::from_secs(2);
/// Largest number of container ids that wait for an inspection.
const MAX_REQUESTED: usize = 1024;
/// Largest number of ids that are stored as foreign.
const MAX_FOREIGN: usize = 4096;
/// Number of lists after which a foreign id is looked up again.
const FOREIGN_FOR_LISTS: u8 = 5;

/// Look-ups in the containers of one daemon.
pub struct DockerDirectory {
    table: RwLock<ContainerTable>,
    version: AtomicU64,
    status: AtomicU8,
    lookups: Mutex<PendingLookups>,
    /// Notifies the watcher that ids wait for an inspection.
    pub(super) lookup_requested: Notify,
    name_builder: NameBuilder,
}

/// State of the connection to the daemon, which decides whether an unknown name is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum DaemonStatus {
    /// The daemon was not reached yet.
    Starting,
    /// Events are being followed.
    Following,
    /// The daemon cannot be reached.
    Unreachable,
}

/// Container ids of cgroups that the daemon has not reported.
#[derive(Default)]
struct PendingLookups {
    requested: Vec<ContainerId>,
    /// Ids of which the daemon has no container, with the number of lists until the id is looked up again.
    foreign: HashMap<ContainerId, u8, RandomState>,
}

/// Builds interned names of containers.
struct NameBuilder {
    workloads: Interner<Workload>,
    services: Interner<Service>,
    kind: Arc<str>,
    empty: Arc<str>,
    labels: Vec<(String, Arc<LabelKey>)>,
    image: Option<Arc<LabelKey>>,
}

// === impl DockerDirectory ===

impl DockerDirectory {
    pub(super) fn new(config: &DockerConfig) -> Self {
        Self {
            table: RwLock::new(ContainerTable::new(Bounds::default())),
            version: AtomicU64::new(1),
            status: AtomicU8::new(DaemonStatus::Starting as u8),
            lookups: Mutex::default(),
            lookup_requested: Notify::new(),
            name_builder: NameBuilder::new(config),
        }
    }

    /// Adds or updates a container.
    pub(super) fn apply(&self, container: &Container, source: UpdateSource) {
        let names = self.name_builder.names(container);
        self.change(|table| table.apply(container, names, source));
    }

    /// Ends a container at `at`.
    pub(super) fn end(&self, id: ContainerId, at: UnixNanos) {
        self.change(|table| table.end(id, at));
    }

    /// Stores that the daemon has no containers with these ids.
    pub(super) fn mark_foreign(&self, ids: impl IntoIterator<Item = ContainerId>) {
        let mut lookups = self.lookups();
        for id in ids {
            if lookups.foreign.len() >= MAX_FOREIGN {
                lookups.foreign.clear();
            }
            lookups.foreign.insert(id, FOREIGN_FOR_LISTS);
        }
        drop(lookups);
        self.bump_version();
    }

    /// Takes the ids that wait for an inspection.
    pub(super) fn take_requested(&self) -> Vec<ContainerId> {
        std::mem::take(&mut self.lookups().requested)
    }

    /// Sets the status. A change bumps the version.
    pub(super) fn set_status(&self, status: DaemonStatus) {
        if self.status.swap(status as u8, Ordering::AcqRel) != status as u8 {
            self.bump_version();
        }
    }

    /// Replaces the host's addresses, and evicts what is old.
    pub(super) fn refresh(&self, host: HashSet<IpAddr>, now: UnixNanos) {
        let mut lookups = self.lookups();
        lookups.foreign.retain(|_, left| {
            *left -= 1;
            *left > 0
        });
        drop(lookups);
        let mut table = self.table_mut();
        table.set_host_addresses(host);
        table.evict_expired(now);
    }

    /// Locks the table of containers for reading.
    pub(super) fn table(&self) -> RwLockReadGuard<'_, ContainerTable> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut ContainerTable)) {
        change(&mut self.table_mut());
        self.bump_version();
    }

    fn table_mut(&self) -> RwLockWriteGuard<'_, ContainerTable> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn bump_version(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    fn lookups(&self) -> MutexGuard<'_, PendingLookups> {
        self.lookups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_in(&self, status: DaemonStatus) -> bool {
        self.status.load(Ordering::Acquire) == status as u8
    }

    /// Returns the result for what is not in the table.
    fn unknown<T>(&self) -> Answer<T> {
        if self.is_in(DaemonStatus::Starting) { Answer::Pending } else { Answer::Unknown }
    }

    /// Requests an inspection of the container, once.
    #[cold]
    fn request<T>(&self, id: ContainerId) -> Answer<T> {
        if !self.is_in(DaemonStatus::Following) {
            return self.unknown();
        }
        let mut lookups = self.lookups();
        if lookups.foreign.contains_key(&id) {
            return Answer::Unknown;
        }
        if !lookups.requested.contains(&id) && lookups.requested.len() < MAX_REQUESTED {
            lookups.requested.push(id);
            self.lookup_requested.notify_one();
        }
        Answer::Pending
    }
}

impl Directory for DockerDirectory {
    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn workload_of_cgroup(&self, cgroup: &CgroupName<'_>, at: UnixNanos) -> Answer<Handle<Workload>> {
        let Some(id) = ContainerId::parse(cgroup.container_id) else { return Answer::Unknown };
        let known = self.table().workload(id, at).cloned();
        known.map_or_else(|| self.request(id), Answer::Known)
    }

    fn workload_of_address(&self, end: Endpoint, at: UnixNanos) -> Answer<Handle<Workload>> {
        let table = self.table();
        if let Some(names) = table.container_at_address(end.address, at) {
            return Answer::Known(names.workload.clone());
        }
        let pending = self.is_in(DaemonStatus::Following)
            && table.may_have_container(end.address)
            && UnixNanos::now().since(at) < START_DELAY;
        if pending { Answer::Pending } else { self.unknown() }
    }

    fn service_of_address(&self, frontend: Endpoint, at: UnixNanos) -> Answer<Handle<Service>> {
        let service = self.table().container_at_port(frontend, at).and_then(|names| names.service.clone());
        service.map_or_else(|| self.unknown(), Answer::Known)
    }

    fn service_of_backend(&self, backend: Endpoint, at: UnixNanos) -> Answer<Handle<Service>> {
        let table = self.table();
        match table.container_at_address(backend.address, at) {
            Some(names) => names.service.clone().map_or(Answer::Unknown, Answer::Known),
            None => self.unknown(),
        }
    }

    fn is_translated(&self, address: IpAddr) -> bool {
        self.table().is_translated(address)
    }
}

// === impl NameBuilder ===

impl NameBuilder {
    fn new(config: &DockerConfig) -> Self {
        let key =
            |label: &String| (label.clone(), Arc::new(LabelKey::new(&format!("container.label.{label}"))));
        Self {
            workloads: Interner::default(),
            services: Interner::default(),
            kind: Arc::from(KIND),
            empty: Arc::from(""),
            labels: config.labels.iter().map(key).collect(),
            image: config.image.then(|| Arc::new(LabelKey::new("container.image.name"))),
        }
    }

    fn names(&self, container: &Container) -> ContainerNames {
        let name: Arc<str> = Arc::from(container.name.as_str());
        let workload = self.workloads.intern(Workload {
            name: Arc::clone(&name),
            kind: Arc::clone(&self.kind),
            namespace: Arc::clone(&self.empty),
            pod: Arc::clone(&self.empty),
            node: Arc::clone(&self.empty),
            container: Arc::clone(&name),
            container_id: Arc::from(container.id.to_string()),
            labels: self.labels(container),
        });
        let service = match container.compose() {
            Some((project, service)) => Some((Arc::from(project), Arc::from(service))),
            None if !container.published.is_empty() => Some((Arc::clone(&self.empty), name)),
            None => None,
        };
        let service = service
            .map(|(namespace, name)| self.services.intern(Service { name, namespace, ambiguous: false }));
        ContainerNames { container: container.id, workload, service }
    }

    fn labels(&self, container: &Container) -> Arc<[Label]> {
        let label =
            |key: &Arc<LabelKey>, value: &str| Label { key: Arc::clone(key), value: Arc::from(value) };
        let chosen =
            self.labels.iter().filter_map(|(name, key)| Some(label(key, container.labels.get(name)?)));
        let image = self.image.as_ref().filter(|_| !container.image.is_empty());
        chosen.chain(image.map(|key| label(key, &container.image))).collect()
    }
}
