//! What the containers answer.

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

/// The kind of all workloads here.
const KIND: &str = "Container";
/// How long after a record a container with its address may still turn up.
const START_DELAY: Duration = Duration::from_secs(2);
/// Ids that are asked for at a time.
const MAX_REQUESTED: usize = 1024;
/// Ids remembered as nobody's, and for how many resynchronisations.
const MAX_FOREIGN: usize = 4096;
const FOREIGN_FOR_LISTS: u8 = 5;

/// What one daemon told, ready to be asked.
pub struct DockerDirectory {
    state: RwLock<ContainerTable>,
    version: AtomicU64,
    phase: AtomicU8,
    asked: Mutex<PendingLookups>,
    /// Fires when there is something to ask the daemon for.
    pub(super) wanted: Notify,
    name_builder: NameBuilder,
}

/// How much the answers are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum DaemonStatus {
    /// The daemon has not been asked yet.
    Starting,
    /// It tells what is new.
    Following,
    /// It cannot be reached.
    Unreachable,
}

/// Ids that cgroups had and the daemon has not told of.
#[derive(Default)]
struct PendingLookups {
    wanted: Vec<ContainerId>,
    /// Containers of others; with the resynchronisations left until one is asked for again.
    foreign: HashMap<ContainerId, u8, RandomState>,
}

/// Makes names.
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
            state: RwLock::new(ContainerTable::new(Bounds::default())),
            version: AtomicU64::new(1),
            phase: AtomicU8::new(DaemonStatus::Starting as u8),
            asked: Mutex::default(),
            wanted: Notify::new(),
            name_builder: NameBuilder::new(config),
        }
    }

    /// Takes in what is true of a container.
    pub(super) fn apply(&self, container: &Container, told: UpdateSource) {
        let names = self.name_builder.names(container);
        self.change(|state| state.apply(container, names, told));
    }

    /// A container is no more, since `at`.
    pub(super) fn end(&self, id: ContainerId, at: UnixNanos) {
        self.change(|state| state.end(id, at));
    }

    /// Containers of the daemon that answered for none of these ids.
    pub(super) fn mark_foreign(&self, ids: impl IntoIterator<Item = ContainerId>) {
        let mut asked = self.asked();
        for id in ids {
            if asked.foreign.len() >= MAX_FOREIGN {
                asked.foreign.clear();
            }
            asked.foreign.insert(id, FOREIGN_FOR_LISTS);
        }
        drop(asked);
        self.bump_version();
    }

    /// The ids to ask the daemon for.
    pub(super) fn take_requested(&self) -> Vec<ContainerId> {
        std::mem::take(&mut self.asked().wanted)
    }

    /// How much the answers are worth from now on.
    pub(super) fn enter(&self, phase: DaemonStatus) {
        if self.phase.swap(phase as u8, Ordering::AcqRel) != phase as u8 {
            self.bump_version();
        }
    }

    /// Reads the host's addresses again, and forgets what is old.
    pub(super) fn refresh(&self, own: HashSet<IpAddr>, now: UnixNanos) {
        let mut asked = self.asked();
        asked.foreign.retain(|_, left| {
            *left -= 1;
            *left > 0
        });
        drop(asked);
        let mut state = self.state_mut();
        state.set_own(own);
        state.evict_expired(now);
    }

    /// What is known.
    pub(super) fn state(&self) -> RwLockReadGuard<'_, ContainerTable> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut ContainerTable)) {
        change(&mut self.state_mut());
        self.bump_version();
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, ContainerTable> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn bump_version(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    fn asked(&self) -> MutexGuard<'_, PendingLookups> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_in(&self, phase: DaemonStatus) -> bool {
        self.phase.load(Ordering::Acquire) == phase as u8
    }

    /// The answer where nothing is known.
    fn unknown<T>(&self) -> Answer<T> {
        if self.is_in(DaemonStatus::Starting) { Answer::Pending } else { Answer::Unknown }
    }

    /// The daemon has not told of this container: asks for it, once.
    #[cold]
    fn want<T>(&self, id: ContainerId) -> Answer<T> {
        if !self.is_in(DaemonStatus::Following) {
            return self.unknown();
        }
        let mut asked = self.asked();
        if asked.foreign.contains_key(&id) {
            return Answer::Unknown;
        }
        if !asked.wanted.contains(&id) && asked.wanted.len() < MAX_REQUESTED {
            asked.wanted.push(id);
            self.wanted.notify_one();
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
        let known = self.state().workload(id, at).cloned();
        known.map_or_else(|| self.want(id), Answer::Known)
    }

    fn workload_of_address(&self, end: Endpoint, at: UnixNanos) -> Answer<Handle<Workload>> {
        let state = self.state();
        if let Some(names) = state.at_address(end.address, at) {
            return Answer::Known(names.workload.clone());
        }
        let fresh = self.is_in(DaemonStatus::Following)
            && state.may_be_container(end.address)
            && UnixNanos::now().since(at) < START_DELAY;
        if fresh { Answer::Pending } else { self.unknown() }
    }

    fn service_of_address(&self, asked: Endpoint, at: UnixNanos) -> Answer<Handle<Service>> {
        let service = self.state().at_published(asked, at).and_then(|names| names.service.clone());
        service.map_or_else(|| self.unknown(), Answer::Known)
    }

    fn service_of_backend(&self, backend: Endpoint, at: UnixNanos) -> Answer<Handle<Service>> {
        let state = self.state();
        match state.at_address(backend.address, at) {
            Some(names) => names.service.clone().map_or(Answer::Unknown, Answer::Known),
            None => self.unknown(),
        }
    }

    fn is_translated(&self, address: IpAddr) -> bool {
        self.state().is_translated(address)
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
