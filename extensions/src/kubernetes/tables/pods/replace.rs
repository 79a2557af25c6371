//! Replaces what is stored of a pod when the pod changes or ends.

use std::net::IpAddr;
use std::time::Duration;

use longwave_pipeline::model::UnixNanos;

use super::{PodEntry, PodRef, Pods};
use crate::kubernetes::objects::Uid;
use crate::kubernetes::tables::{Update, gone};

/// Largest difference between a node's clock and that of this node.
const SLACK: Duration = Duration::from_secs(5);

// === impl Pods ===

impl Pods {
    /// Replaces the entries of `before` by those of `after`.
    pub(super) fn replace(
        &mut self,
        uid: Uid,
        before: Option<&PodEntry>,
        after: Option<&PodEntry>,
        started: Option<UnixNanos>,
        update: Update,
    ) {
        self.replace_addresses(before, after, started, update);
        self.replace_node_ports(before, after, started, update);
        for entry in before.into_iter().filter(|entry| entry.host_network && after.is_none()) {
            self.on_nodes.end(&uid.short(), &entry.workload, update.now);
        }
        for entry in after.into_iter().filter(|entry| entry.host_network) {
            self.on_nodes.set(uid.short(), entry.workload.clone(), UnixNanos::default());
        }
        let forwarded = |entry: Option<&PodEntry>| match entry {
            Some(entry) if !entry.host_network && entry.local.is_some() => entry.node_ports.clone(),
            _ => Box::default(),
        };
        let (old, new) = (forwarded(before), forwarded(after));
        gone(&old, &new).for_each(|port| self.forwarded.remove(port));
        gone(&new, &old).for_each(|port| self.forwarded.add(*port));
        let (old, new) = (before.and_then(|e| e.local.as_deref()), after.and_then(|e| e.local.as_deref()));
        if let Some(local) = old {
            if new.is_none_or(|new| new.uid != local.uid) {
                self.uids.end_current(&local.uid, update.now);
            }
            for id in gone(&local.containers, new.map_or(&[], |new| &new.containers)) {
                self.containers.end_current(id, update.now);
            }
        }
        if let (Some(local), Some(entry)) = (new, after) {
            self.uids.set(local.uid, entry.workload.clone(), UnixNanos::default());
        }
    }

    fn replace_addresses(
        &mut self,
        before: Option<&PodEntry>,
        after: Option<&PodEntry>,
        started: Option<UnixNanos>,
        update: Update,
    ) {
        let own = |entry: Option<&PodEntry>| match entry {
            Some(entry) if !entry.host_network => entry.addresses.clone(),
            _ => Box::default(),
        };
        let (old, new) = (own(before), own(after));
        if let Some(entry) = before {
            let pod_ref = PodRef { workload: entry.workload.clone(), pod: entry.id };
            for address in gone(&old, &new) {
                self.addresses.end(address, &pod_ref, update.now);
                self.ranges.remove(*address);
            }
        }
        if let Some(entry) = after {
            let pod_ref = PodRef { workload: entry.workload.clone(), pod: entry.id };
            for address in &new {
                let known = old.contains(address);
                if !known {
                    self.ranges.add(*address);
                } else if before.is_some_and(|before| before.workload == entry.workload) {
                    continue;
                } else if self.addresses.current(address) != Some(&pod_ref) {
                    // The pod has a new name, but the address belongs to another pod by now.
                    continue;
                }
                // A pod whose sandbox is created again gets another address, which it has from now on.
                match started.filter(|_| old.is_empty()) {
                    Some(start) => self.addresses.set_with_slack(*address, pod_ref.clone(), start, SLACK),
                    None => self.addresses.set_since(*address, pod_ref.clone(), update.since, update.now),
                }
            }
        }
        let [old, new] =
            [before, after].map(|entry| entry.map(PodEntry::all_node_addresses).unwrap_or_default());
        if old != new {
            new.iter().for_each(|address| self.nodes.add(*address));
            old.iter().for_each(|address| self.nodes.remove(address));
        }
    }

    fn replace_node_ports(
        &mut self,
        before: Option<&PodEntry>,
        after: Option<&PodEntry>,
        started: Option<UnixNanos>,
        update: Update,
    ) {
        let unique = |declarations: &[PodRef]| match declarations {
            [only] => Some(only.clone()),
            _ => None,
        };
        let keys = |entry: &PodEntry| -> Vec<(IpAddr, u16)> {
            if entry.node_ports.is_empty() {
                return Vec::new();
            }
            let addresses = entry.all_node_addresses();
            let ports = &entry.node_ports;
            addresses.iter().flat_map(|address| ports.iter().map(|port| (*address, *port))).collect()
        };
        let (old, new) = (before.map(keys).unwrap_or_default(), after.map(keys).unwrap_or_default());
        let same = before.map(|e| &e.workload) == after.map(|e| &e.workload);
        let since = Update {
            since: started
                .map_or(update.since, |start| UnixNanos(start.0.saturating_sub(SLACK.as_nanos() as u64))),
            ..update
        };
        if let Some(entry) = before {
            let pod_ref = PodRef { workload: entry.workload.clone(), pod: entry.id };
            for key in gone(&old, &new) {
                self.node_ports.remove(*key, &pod_ref, update, unique);
            }
        }
        if let Some(entry) = after {
            let pod_ref = PodRef { workload: entry.workload.clone(), pod: entry.id };
            for key in &new {
                match old.contains(key) {
                    false => self.node_ports.add(*key, pod_ref.clone(), since, unique),
                    // The pod has a new name, since it has the port.
                    true if !same => self.node_ports.replace(*key, &pod_ref, update, unique),
                    true => {}
                }
            }
        }
    }
}

// === impl PodEntry ===

impl PodEntry {
    /// Returns the addresses of the pod's node, with the pod's own if it is in the host's network.
    fn all_node_addresses(&self) -> Vec<IpAddr> {
        let mut addresses = self.node_addresses.to_vec();
        if self.host_network {
            addresses.extend(gone(&self.addresses, &self.node_addresses));
        }
        addresses
    }
}
