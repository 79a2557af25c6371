//! Table of pods by address, container, and port of a node.

mod names;
mod replace;

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use longwave_pipeline::model::{Handle, UnixNanos, Workload};

use super::Update;
use super::counted_set::CountedSet;
use super::ranges::AddressRanges;
use super::shared_keys::SharedKeys;
use crate::history::{Bounds, History, shrink_if_sparse};
use crate::kubernetes::objects::{ContainerId, Pod, Uid, pick};
use names::PodNames;
pub(in crate::kubernetes) use names::SelectedFields;

/// Table of all pods.
pub(in crate::kubernetes) struct Pods {
    names: PodNames,
    entries: HashMap<Uid, PodEntry, RandomState>,
    /// Addresses of pods that are not in the host's network.
    addresses: History<IpAddr, PodRef>,
    /// Ports of nodes' addresses that lead to pods.
    node_ports: SharedKeys<(IpAddr, u16), PodRef, PodRef>,
    /// Pods in the host's network, by [`Uid::short`].
    on_nodes: History<u64, Handle<Workload>>,
    /// Pods of the selected node, by the uid in their cgroups' paths.
    uids: History<Uid, Handle<Workload>>,
    /// Containers of pods of the selected node.
    containers: History<ContainerId, Handle<Workload>>,
    nodes: CountedSet<IpAddr>,
    /// Ports of the selected node that are forwarded to its pods.
    forwarded: CountedSet<u16>,
    ranges: AddressRanges,
    renames: u64,
}

/// The pod that has an address. Equal for the same pod only: another pod on the same node may have the same name.
#[derive(Clone, Debug)]
struct PodRef {
    workload: Handle<Workload>,
    /// [`Uid::short`].
    pod: u64,
}

#[derive(Debug)]
struct PodEntry {
    /// [`Uid::short`].
    id: u64,
    listing: u32,
    host_network: bool,
    /// The pod as a whole; its container is empty.
    workload: Handle<Workload>,
    addresses: Box<[IpAddr]>,
    node_addresses: Box<[IpAddr]>,
    node_ports: Box<[u16]>,
    /// Containers and uid in cgroups' paths; only for pods of the selected node.
    local: Option<Box<LocalPod>>,
}

#[derive(Debug)]
struct LocalPod {
    uid: Uid,
    containers: Vec<ContainerId>,
}

/// Annotation with the hash of a static pod's configuration, which is its uid in the paths of its cgroups. Its uid in the API differs.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";

// === impl PodRef ===

impl PartialEq for PodRef {
    fn eq(&self, other: &Self) -> bool {
        self.pod == other.pod
    }
}

// === impl Pods ===

impl Pods {
    /// Returns an empty table.
    pub fn new(selected: SelectedFields, bounds: Bounds) -> Self {
        Self {
            names: PodNames::new(selected),
            entries: HashMap::default(),
            addresses: History::new(bounds),
            node_ports: SharedKeys::new(bounds),
            on_nodes: History::new(bounds),
            uids: History::new(bounds),
            containers: History::new(bounds),
            nodes: CountedSet::default(),
            forwarded: CountedSet::default(),
            ranges: AddressRanges::new(24, 64),
            renames: 0,
        }
    }

    /// Adds or updates a pod. Returns `Ok(false)` if it has no uid.
    ///
    /// # Errors
    /// Its labels or annotations cannot be decoded.
    pub fn apply(&mut self, pod: &Pod<'_>, update: Update) -> Result<bool, serde_json::Error> {
        let Some(uid) = pod.metadata.uid() else { return Ok(false) };
        if pod.finished() {
            // The last status of a short-lived pod may be the first that has its containers and addresses.
            if self.entries.contains_key(&uid) {
                self.insert(pod, uid, update)?;
            }
            self.remove(uid, update.now);
        } else {
            self.insert(pod, uid, update)?;
        }
        Ok(true)
    }

    fn insert(&mut self, pod: &Pod<'_>, uid: Uid, update: Update) -> Result<(), serde_json::Error> {
        let workload = self.names.workload(pod)?;
        let local = if self.names.is_selected_node(pod.node()) {
            Some(Box::new(self.local(pod, uid, &workload)?))
        } else {
            None
        };
        let before = self.entries.remove(&uid);
        let after = PodEntry {
            id: uid.short(),
            listing: update.listing,
            host_network: pod.host_network(),
            addresses: pod.addresses().into(),
            node_addresses: pod.node_addresses().into(),
            node_ports: pod.node_ports().into(),
            local,
            workload,
        };
        // A start time is from the node's clock, which may be wrong. It is limited to the time from the pod's creation until now.
        let created = pod.metadata.created().unwrap_or_default();
        let started = pod.first_start().map(|start| start.max(created).min(update.now));
        let was_found = |before: &PodEntry| !before.addresses.is_empty() || !before.node_ports.is_empty();
        let is_renamed = |before: &PodEntry| was_found(before) && before.workload != after.workload;
        self.renames += u64::from(before.as_ref().is_some_and(is_renamed));
        self.replace(uid, before.as_ref(), Some(&after), started, update);
        self.entries.insert(uid, after);
        Ok(())
    }

    /// Removes a pod.
    pub fn remove(&mut self, uid: Uid, now: UnixNanos) {
        if let Some(entry) = self.entries.remove(&uid) {
            let update = Update { now, since: now, listing: entry.listing };
            self.replace(uid, Some(&entry), None, None, update);
        }
    }

    /// Removes the pods that the complete listing `listing` did not contain. Returns their number.
    pub fn complete(&mut self, listing: u32, now: UnixNanos) -> usize {
        let unseen = self.entries.iter().filter(|(_, entry)| entry.listing != listing);
        let unseen: Vec<Uid> = unseen.map(|(uid, _)| *uid).collect();
        for uid in &unseen {
            self.remove(*uid, now);
        }
        unseen.len()
    }

    /// Evicts what ended long ago.
    pub fn evict_expired(&mut self, now: UnixNanos) {
        self.addresses.evict_expired(now);
        self.node_ports.evict_expired(now);
        self.on_nodes.evict_expired(now);
        self.uids.evict_expired(now);
        self.containers.evict_expired(now);
        shrink_if_sparse(&mut self.entries);
    }

    /// Returns the number of changes so far that may change the result of a look-up.
    pub fn changes(&self) -> u64 {
        let [a, b, c] = [self.addresses.changes(), self.uids.changes(), self.containers.changes()];
        a + b + c + self.node_ports.changes() + self.on_nodes.changes() + self.nodes.changes() + self.renames
    }

    /// Returns how many times so far a pod with an address got another owner or other labels.
    pub fn renames(&self) -> u64 {
        self.renames
    }

    /// Returns the number of pods.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the number of former values that are kept.
    pub fn past_len(&self) -> usize {
        let [a, b, c] = [self.addresses.past_len(), self.uids.past_len(), self.containers.past_len()];
        a + b + c + self.node_ports.past_len() + self.on_nodes.past_len()
    }

    /// Returns the workload of a container.
    pub fn of_container(&self, id: ContainerId) -> Option<&Handle<Workload>> {
        self.containers.latest(&id)
    }

    /// Returns the pod with the uid.
    pub fn of_uid(&self, uid: Uid) -> Option<&Handle<Workload>> {
        self.uids.latest(&uid)
    }

    /// Returns the pod with the id of a container that the node has not reported.
    pub fn with_container_id(&self, pod: &Workload, digits: &str) -> Handle<Workload> {
        self.names.with_container_id(pod, digits)
    }

    /// Returns whether an existing pod has the uid.
    pub fn has_uid(&self, uid: Uid) -> bool {
        self.uids.current(&uid).is_some()
    }

    /// Returns the pod that had the address at `at`.
    #[inline]
    pub fn of_address(&self, address: IpAddr, at: UnixNanos) -> Option<&Handle<Workload>> {
        Some(&self.addresses.at(&address, at)?.workload)
    }

    /// Returns the pod that alone declared the port of a node's address at `at`.
    pub fn of_node_port(&self, address: IpAddr, port: u16, at: UnixNanos) -> Option<&Handle<Workload>> {
        Some(&self.node_ports.at(&(address, port), at)?.workload)
    }

    /// Returns whether the pod with this [`Uid::short`] had the address at `at`. `None` if no known pod had it.
    pub fn had_address(&self, pod: u64, address: IpAddr, at: UnixNanos) -> Option<bool> {
        match self.addresses.at(&address, at) {
            Some(owner) => Some(owner.pod == pod),
            None if self.is_node(address) && self.on_node(pod, at).is_some() => Some(true),
            None => None,
        }
    }

    /// Returns the pod in the host's network with this [`Uid::short`].
    pub fn on_node(&self, pod: u64, at: UnixNanos) -> Option<&Handle<Workload>> {
        self.on_nodes.at(&pod, at)
    }

    /// Returns whether a pod has the address now.
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.current(&address).is_some()
    }

    /// Returns whether it is an address of a node.
    pub fn is_node(&self, address: IpAddr) -> bool {
        self.nodes.contains(&address)
    }

    /// Returns whether the port of the selected node is forwarded to a pod.
    pub fn is_forwarded(&self, port: u16) -> bool {
        self.forwarded.contains(&port)
    }

    /// Returns whether a pod has an address in the same network.
    pub fn is_near(&self, address: IpAddr) -> bool {
        self.ranges.contains(address)
    }

    #[cfg(test)]
    pub fn sizes(&self) -> [usize; 10] {
        [
            self.entries.len(),
            self.addresses.len(),
            self.node_ports.len(),
            self.on_nodes.len(),
            self.uids.len(),
            self.containers.len(),
            self.nodes.len(),
            self.forwarded.len(),
            self.ranges.len(),
            self.past_len(),
        ]
    }

    #[cfg(test)]
    pub fn names(&self) -> [usize; 2] {
        self.names.sizes()
    }

    /// Adds the containers of a pod of the selected node. Returns their ids and the uid in their cgroups' paths.
    fn local(
        &mut self,
        pod: &Pod<'_>,
        uid: Uid,
        workload: &Handle<Workload>,
    ) -> Result<LocalPod, serde_json::Error> {
        let hash = pick(pod.metadata.annotations, &[CONFIG_HASH])?.pop().flatten();
        let uid = hash.and_then(|hash| Uid::parse(&hash)).unwrap_or(uid);
        let mut containers = Vec::new();
        for status in pod.containers() {
            let Some(id) = ContainerId::parse(&status.container_id) else { continue };
            containers.push(id);
            let named = |current: &Handle<Workload>| Workload {
                container: Arc::clone(&current.container),
                container_id: Arc::clone(&current.container_id),
                ..(**workload).clone()
            };
            if self.containers.current(&id).is_none_or(|current| named(current) != **current) {
                let handle = self.names.container(status, workload);
                // Ids are never used again, so the name is valid for all times.
                self.containers.set(id, handle, UnixNanos::default());
            }
        }
        Ok(LocalPod { uid, containers })
    }
}
