//! Resolves names from the tables.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use hashbrown::HashMap;
use longwave_pipeline::component::{Answer, CgroupName, Directory};
use longwave_pipeline::model::{Endpoint, Handle, Service, UnixNanos, Workload};

use super::objects::{self, ContainerId, EndpointSlice, Pod, Uid};
use super::tables::{Pods, SelectedFields, Services, Update};
use super::telemetry::ResourceStats;
use super::watch::{ObjectTable, TableCounts};
use crate::history::Bounds;

/// Look-ups in the tables of pods and services. The watches update the tables, the processors read them.
pub(super) struct KubernetesDirectory {
    pods: RwLock<Pods>,
    services: RwLock<Services>,
    /// Number of changes so far that may change the result of a look-up.
    version: AtomicU64,
    /// Number of times so far that a pod with an address got another name.
    renames: AtomicU64,
    /// Containers of known pods that the node had not reported when they were first looked up, with the time of that record.
    unreported: Mutex<HashMap<ContainerId, UnixNanos>>,
    /// Whether services are watched.
    with_services: bool,
    /// Whether the pods of all nodes are watched.
    with_all_pods: bool,
    stats: [Arc<ResourceStats>; 3],
}

/// Updates the pods of a [`KubernetesDirectory`].
pub(super) struct PodTable(pub Arc<KubernetesDirectory>);
/// Updates the services of a [`KubernetesDirectory`].
pub(super) struct ServiceTable(pub Arc<KubernetesDirectory>);
/// Updates the endpoint slices of a [`KubernetesDirectory`].
pub(super) struct SliceTable(pub Arc<KubernetesDirectory>);

/// Largest number of containers in [`KubernetesDirectory::unreported`]. A full table is cleared.
const MAX_UNREPORTED: usize = 4096;

/// Longest delay of an update of a pod: its node reports to the API server, which reports to Longwave.
const MAX_UPDATE_DELAY: Duration = Duration::from_secs(15);

// === impl KubernetesDirectory ===

impl KubernetesDirectory {
    pub fn new(
        selected: SelectedFields,
        with_services: bool,
        with_all_pods: bool,
        stats: [Arc<ResourceStats>; 3],
        bounds: Bounds,
    ) -> Self {
        Self {
            pods: RwLock::new(Pods::new(selected, bounds)),
            services: RwLock::new(Services::new(bounds)),
            version: AtomicU64::new(0),
            renames: AtomicU64::new(0),
            unreported: Mutex::default(),
            with_services,
            with_all_pods,
            stats,
        }
    }

    pub fn pods(&self) -> RwLockReadGuard<'_, Pods> {
        self.pods.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn services(&self) -> RwLockReadGuard<'_, Services> {
        self.services.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_pods<R>(&self, change: impl FnOnce(&mut Pods) -> R) -> R {
        self.change(&self.pods, Pods::changes, |pods| {
            let result = change(pods);
            self.renames.store(pods.renames(), Relaxed);
            result
        })
    }

    fn change_services<R>(&self, change: impl FnOnce(&mut Services) -> R) -> R {
        self.change(&self.services, Services::changes, change)
    }

    /// Changes a table, and the version if a look-up may have another result. If each event changed the version, all connections would be
    /// looked up again whenever the status of any pod changes.
    fn change<T, R>(&self, table: &RwLock<T>, changes: fn(&T) -> u64, change: impl FnOnce(&mut T) -> R) -> R {
        let mut table = table.write().unwrap_or_else(PoisonError::into_inner);
        let before = changes(&table);
        let result = change(&mut table);
        let changes = changes(&table) - before;
        drop(table);
        self.version.fetch_add(changes, Relaxed);
        result
    }

    /// Returns whether the node may still report the container of a record at `at`: it was unknown for a short time only. A sandbox, or a
    /// container within a container, is never reported.
    fn may_be_reported(&self, id: ContainerId, at: UnixNanos) -> bool {
        let mut unreported = self.unreported.lock().unwrap_or_else(PoisonError::into_inner);
        if unreported.len() >= MAX_UNREPORTED && !unreported.contains_key(&id) {
            unreported.clear();
        }
        let first = unreported.entry(id).or_insert(at);
        at.since(*first) < MAX_UPDATE_DELAY
    }

    /// Returns the result for what is not in a table. It is pending while the first listing is expected, or if an object of this kind may
    /// exist (`near`) and its update may still arrive.
    fn absent<T>(&self, stats: &ResourceStats, near: impl FnOnce() -> bool, at: UnixNanos) -> Answer<T> {
        let pending = if stats.is_synced() {
            stats.last_contact().since(at) < MAX_UPDATE_DELAY && near()
        } else {
            stats.is_expected()
        };
        if pending { Answer::Pending } else { Answer::Unknown }
    }
}

impl Directory for KubernetesDirectory {
    fn version(&self) -> u64 {
        // A pending look-up is settled once the listing is complete or no longer expected.
        let settled = self.stats.iter().fold(0, |settled, stats| {
            settled << 2 | u64::from(stats.is_synced()) << 1 | u64::from(stats.is_expected())
        });
        self.version.load(Relaxed) << 6 | settled
    }

    fn renames(&self) -> u64 {
        self.renames.load(Relaxed)
    }

    fn workload_of_cgroup(&self, cgroup: &CgroupName<'_>, at: UnixNanos) -> Answer<Handle<Workload>> {
        if cgroup.container_id.is_empty() && cgroup.pod_uid.is_empty() {
            return Answer::Unknown;
        }
        let pods = self.pods();
        let container = ContainerId::of_digits(cgroup.container_id);
        if let Some(workload) = container.and_then(|id| pods.of_container(id)) {
            return Answer::Known(workload.clone());
        }
        // Falls back to the pod for its sandbox and for a container that the node has not reported yet.
        let Some(uid) = Uid::parse(cgroup.pod_uid) else {
            return self.absent(&self.stats[0], || false, at);
        };
        let Some(pod) = pods.of_uid(uid) else { return self.absent(&self.stats[0], || true, at) };
        let Some(id) = container else { return Answer::Known(pod.clone()) };
        let pod = pods.with_container_id(pod, cgroup.container_id);
        let is_partial = pods.has_uid(uid) && self.may_be_reported(id, at);
        if is_partial { Answer::Partial(pod) } else { Answer::Known(pod) }
    }

    fn workload_of_address(&self, end: Endpoint, at: UnixNanos) -> Answer<Handle<Workload>> {
        let Endpoint { address, port } = end;
        let pods = self.pods();
        if let Some(workload) = pods.of_address(address, at) {
            return Answer::Known(workload.clone());
        }
        if !pods.is_node(address) {
            return self.absent(&self.stats[0], || pods.is_near(address), at);
        }
        // A node's own address is also the source of masqueraded connections. Only a port that exactly one pod declares identifies a pod.
        if port == 0 {
            return Answer::Unknown;
        }
        if let Some(workload) = pods.of_node_port(address, port, at) {
            return Answer::Known(workload.clone());
        }
        // Or that slices declare as a port of exactly one pod.
        let services = self.services();
        let mut found =
            services.of_backend(address, port, at).filter_map(|backend| pods.on_node(backend.pod, at));
        match found.next() {
            Some(workload) if found.all(|other| other == workload) => Answer::Known(workload.clone()),
            _ => Answer::Unknown,
        }
    }

    fn service_of_address(&self, frontend: Endpoint, at: UnixNanos) -> Answer<Handle<Service>> {
        if !self.with_services {
            return Answer::Unknown;
        }
        let Endpoint { address, port } = frontend;
        let services = self.services();
        if let Some(service) = services.of_address(address, port, at) {
            return Answer::Known(service.clone());
        }
        if let Some(service) = services.of_node_port(port, at) {
            let service = service.clone();
            drop(services);
            return if self.pods().is_node(address) { Answer::Known(service) } else { Answer::Unknown };
        }
        self.absent(&self.stats[1], || services.is_near(address), at)
    }

    fn service_of_backend(&self, backend: Endpoint, at: UnixNanos) -> Answer<Handle<Service>> {
        if !self.with_services {
            return Answer::Unknown;
        }
        let Endpoint { address, port } = backend;
        // The tables are locked in this order everywhere.
        let (pods, services) = (self.pods(), self.services());
        // A slice may be left by a service that is gone or is another one now, and may list an address that its pod does not have any more.
        let is_target = |pod: u64| {
            let unseen = self.with_all_pods && self.stats[0].is_synced();
            pod != 0 && pods.had_address(pod, address, at).unwrap_or(!unseen)
        };
        let backings = services.of_backend(address, port, at).filter(|backing| is_target(backing.pod));
        if let Some(service) = services.first(backings.map(|backing| &backing.service)) {
            let is_checked = self.stats[0].is_synced() || !self.stats[0].is_expected();
            return if is_checked { Answer::Known(service) } else { Answer::Pending };
        }
        match services.backend_since(address, port, at) {
            // The services and pods that belong to a new slice may be reported later.
            Some(since) => self.stats[..2].iter().fold(Answer::Unknown, |answer, stats| {
                let is_new = || stats.last_contact().since(since) < MAX_UPDATE_DELAY;
                answer.or_else(|| self.absent(stats, is_new, at))
            }),
            None => self.absent(&self.stats[2], || false, at),
        }
    }

    fn service_of_node_port(&self, port: u16, at: UnixNanos) -> Answer<Handle<Service>> {
        self.services().of_node_port(port, at).cloned().map_or(Answer::Unknown, Answer::Known)
    }

    fn is_node_port(&self, port: u16) -> bool {
        self.services().is_node_port(port) || self.pods().is_forwarded(port)
    }

    fn is_translated(&self, address: IpAddr) -> bool {
        if self.stats[1].is_synced() {
            return self.services().is_address(address) || self.pods().is_node(address);
        }
        // While services are unknown, every address that no pod has may be a service's.
        !self.pods().has_address(address)
    }
}

// === impl PodTable ===

impl ObjectTable for PodTable {
    fn apply(&self, object: &str, update: Update) -> Result<(), serde_json::Error> {
        let pod: Pod<'_> = serde_json::from_str(object)?;
        self.0.change_pods(|pods| pods.apply(&pod, update)).and_then(require_uid)
    }

    fn remove(&self, object: &str, now: UnixNanos) -> Result<(), serde_json::Error> {
        let metadata = meta(object)?;
        let uid = metadata.uid().ok_or_else(no_uid)?;
        // The update may arrive late, when another pod has had the address for a while.
        let end = metadata.deletion_end().map_or(now, |end| end.min(now));
        self.0.change_pods(|pods| pods.remove(uid, end));
        Ok(())
    }

    fn complete(&self, listing: u32, now: UnixNanos) -> usize {
        self.0.change_pods(|pods| pods.complete(listing, now))
    }

    fn counts(&self) -> TableCounts {
        let pods = self.0.pods();
        TableCounts { objects: pods.len(), remembered: pods.past_len() }
    }

    fn evict_expired(&self, now: UnixNanos) {
        self.0.change_pods(|pods| pods.evict_expired(now));
    }
}

// === impl ServiceTable ===

impl ObjectTable for ServiceTable {
    fn apply(&self, object: &str, update: Update) -> Result<(), serde_json::Error> {
        let service: objects::Service<'_> = serde_json::from_str(object)?;
        require_uid(self.0.change_services(|services| services.apply(&service, update)))
    }

    fn remove(&self, object: &str, now: UnixNanos) -> Result<(), serde_json::Error> {
        let uid = uid(object)?;
        self.0.change_services(|services| services.remove(uid, now));
        Ok(())
    }

    fn complete(&self, listing: u32, now: UnixNanos) -> usize {
        self.0.change_services(|services| services.complete(listing, now))
    }

    fn counts(&self) -> TableCounts {
        let services = self.0.services();
        TableCounts { objects: services.counts()[0], remembered: services.past_len()[0] }
    }

    fn evict_expired(&self, now: UnixNanos) {
        self.0.change_services(|services| services.evict_expired(now));
    }
}

// === impl SliceTable ===

impl ObjectTable for SliceTable {
    fn apply(&self, object: &str, update: Update) -> Result<(), serde_json::Error> {
        let slice: EndpointSlice<'_> = serde_json::from_str(object)?;
        require_uid(self.0.change_services(|services| services.apply_slice(&slice, update)))
    }

    fn remove(&self, object: &str, now: UnixNanos) -> Result<(), serde_json::Error> {
        let uid = uid(object)?;
        self.0.change_services(|services| services.remove_slice(uid, now));
        Ok(())
    }

    fn complete(&self, listing: u32, now: UnixNanos) -> usize {
        self.0.change_services(|services| services.complete_slices(listing, now))
    }

    fn counts(&self) -> TableCounts {
        let services = self.0.services();
        TableCounts { objects: services.counts()[1], remembered: services.past_len()[1] }
    }

    fn evict_expired(&self, _: UnixNanos) {
        // `ServiceTable` evicts for both.
    }
}

fn require_uid(has_uid: bool) -> Result<(), serde_json::Error> {
    if has_uid { Ok(()) } else { Err(no_uid()) }
}

fn uid(object: &str) -> Result<Uid, serde_json::Error> {
    meta(object)?.uid().ok_or_else(no_uid)
}

fn meta(object: &str) -> Result<objects::ObjectMeta<'_>, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        metadata: objects::ObjectMeta<'a>,
    }
    Ok(serde_json::from_str::<Head<'_>>(object)?.metadata)
}

fn no_uid() -> serde_json::Error {
    serde::de::Error::custom("metadata.uid is not a uid")
}
