//! The connections of this node, by identity and by addresses: a connection's names are found once and kept here until it ends.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::time::Instant;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use longwave_pipeline::record::{ConnectionId, ConnectionRecord, Endpoint};
use longwave_pipeline::{Handle, Workload};

use super::cgroup::{Answer, Cgroups, ROOT};
use super::names::Names;
use crate::slab::Slab;

/// Records whose connections are looked up at a time.
pub(super) const STRIDE: usize = 32;
/// Ended connections whose addresses are still known, so that the other end's close finds them: it may come a batch later.
const MOST_ENDED: usize = 8192;
/// Passes without a record after which a connection is forgotten: its end was lost on the way.
const SILENT_PASSES: u32 = 256;
/// Looking for silent connections visits them all: once in so many passes.
const SWEEP_EVERY: u32 = 64;
const NOBODY: u32 = u32::MAX;

/// All known ends.
pub(super) struct Ends {
    /// This boot of this host: cgroup ids and pids of another (in a replayed file) mean something else here.
    boot: Option<u32>,
    hasher: RandomState,
    ends: Slab<End>,
    /// Open connections.
    by_id: HashTable<u32>,
    /// One end for each tuple, open or ended lately.
    by_tuple: HashTable<u32>,
    ended: VecDeque<u32>,
    pass: u32,
}

/// One socket. In this order, so that what every record needs lies together.
#[repr(C)]
struct End {
    id: ConnectionId,
    /// cgroup that `local` was looked up by.
    cgroup: u64,
    local: Option<Handle<Workload>>,
    peer: Option<Handle<Workload>>,
    /// The cgroups' version when `local` was last looked up.
    version: u32,
    /// The pass of the last record.
    seen: u32,
    tuple: Tuple,
    /// The socket at the other end, or [`NOBODY`].
    partner: u32,
    /// In `by_tuple`.
    listed: bool,
    /// Several namespaces have the same addresses: nobody can tell whose end this is.
    ambiguous: bool,
}

/// What identifies a socket for its peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Tuple {
    local: Endpoint,
    peer: Endpoint,
    /// The namespace for loopback addresses, which exist in each; 0 for others.
    netns: u32,
}

// === impl Ends ===

impl Ends {
    /// None known. `boot`: [`ConnectionId::boot`] of this host's own records; `None` if it is not known.
    pub fn new(boot: Option<u32>) -> Self {
        Self {
            boot,
            hasher: RandomState::default(),
            ends: Slab::default(),
            by_id: HashTable::new(),
            by_tuple: HashTable::new(),
            ended: VecDeque::new(),
            pass: 0,
        }
    }

    /// Looks some records' connections up and returns the hashes of their ids, for [`Ends::learn`]: in a short loop the processor waits for
    /// several cache misses at a time.
    pub fn look_up(&self, records: &[ConnectionRecord]) -> [u64; STRIDE] {
        let mut hashes = [0; STRIDE];
        for (hash, record) in hashes.iter_mut().zip(records) {
            *hash = self.hasher.hash_one(record.id);
        }
        let mut seen = 0;
        for (hash, record) in hashes.iter().zip(records) {
            let found = self.find_id(*hash, record.id).and_then(|index| self.ends.get(index));
            seen ^= found.map_or(0, |end| end.seen);
        }
        std::hint::black_box(seen);
        hashes
    }

    /// Learns from a record who its local end is, and so who the peer's peer is. `hash` is its id's. Returns the
    /// connection's index.
    pub fn learn(
        &mut self,
        record: &ConnectionRecord,
        hash: u64,
        cgroups: &mut Option<Cgroups>,
        names: &mut Names,
        now: Instant,
    ) -> u32 {
        if let Some(index) = self.find_id(hash, record.id) {
            let Some(end) = self.ends.get_mut(index) else { return index };
            end.seen = self.pass;
            let version = cgroups.as_ref().map_or(0, Cgroups::version);
            if end.local.is_none() && (end.version != version || end.cgroup != record.owner.cgroup) {
                let local = self.local_workload(record, cgroups, names, now);
                self.name(index, local, record.owner.cgroup, version);
            }
            return index;
        }
        let local = self.local_workload(record, cgroups, names, now);
        let version = cgroups.as_ref().map_or(0, Cgroups::version);
        let end = End {
            id: record.id,
            tuple: Tuple::of(record),
            cgroup: record.owner.cgroup,
            local,
            peer: None,
            partner: NOBODY,
            version,
            seen: self.pass,
            listed: false,
            ambiguous: false,
        };
        let index = self.ends.insert(end);
        let (ends, hasher) = (&self.ends, &self.hasher);
        self.by_id
            .insert_unique(hash, index, |index| ends.get(*index).map_or(0, |end| hasher.hash_one(end.id)));
        self.list(index);
        self.pair(index);
        index
    }

    /// The workloads of the connection's local end and its peer.
    pub fn names(&self, index: u32) -> (Option<&Handle<Workload>>, Option<&Handle<Workload>>) {
        self.ends.get(index).map_or((None, None), |end| (end.local.as_ref(), end.peer.as_ref()))
    }

    /// The connection ended.
    pub fn end(&mut self, index: u32, id: ConnectionId) {
        if self.forget_id(index, id) {
            self.ended.push_back(index);
            if self.ended.len() > MOST_ENDED
                && let Some(oldest) = self.ended.pop_front()
            {
                self.remove(oldest);
            }
        }
    }

    /// A pass of the receiver is over.
    pub fn pass_end(&mut self) {
        self.pass = self.pass.wrapping_add(1);
        if !self.pass.is_multiple_of(SWEEP_EVERY) {
            return;
        }
        let (ends, pass) = (&self.ends, self.pass);
        let mut silent = Vec::new();
        self.by_id.retain(|index| {
            let keep = ends.get(*index).is_some_and(|end| pass.wrapping_sub(end.seen) < SILENT_PASSES);
            if !keep {
                silent.push(*index);
            }
            keep
        });
        for index in silent {
            self.remove(index);
        }
    }

    /// Connections known, those that ended lately included.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Sets a local name that was found late; the partner hears of it.
    fn name(&mut self, index: u32, local: Option<Handle<Workload>>, cgroup: u64, version: u32) {
        let Some(end) = self.ends.get_mut(index) else { return };
        end.version = version;
        end.cgroup = cgroup;
        end.local.clone_from(&local);
        let partner = end.partner;
        if let Some(partner) = self.ends.get_mut(partner) {
            partner.peer = local;
        }
    }

    /// Who the record's own end is: what the record brings along, else its cgroup, else (where that tells nothing) its process.
    fn local_workload(
        &self,
        record: &ConnectionRecord,
        cgroups: &mut Option<Cgroups>,
        names: &mut Names,
        now: Instant,
    ) -> Option<Handle<Workload>> {
        if let Some(brought) = &record.names.local {
            return Some(brought.clone());
        }
        let is_ours = record.id.boot == 0 || self.boot.is_none_or(|boot| boot == record.id.boot);
        match (record.owner.cgroup, cgroups) {
            (0 | ROOT, _) | (_, None) => names.of_process(&record.owner),
            _ if !is_ours => names.of_process(&record.owner),
            (id, Some(cgroups)) => match cgroups.resolve(id, record.owner.pid, names, now) {
                Answer::Named(handle) => Some(handle),
                Answer::Unknown => None,
            },
        }
    }

    /// Makes the end findable by its addresses.
    fn list(&mut self, index: u32) {
        let Some(end) = self.ends.get(index) else { return };
        let (tuple, id) = (end.tuple, end.id);
        if tuple.local.port == 0 || tuple.peer.port == 0 {
            return;
        }
        if let Some(other) = self.find(&tuple) {
            let alive = self.is_open(other);
            let Some(held) = self.ends.get_mut(other) else { return };
            if alive && held.id.netns != id.netns {
                held.ambiguous = true;
                self.unpair(other);
                return;
            }
            // The addresses were used again: the older connection is over.
            self.unlist(other);
        }
        let (ends, hasher) = (&self.ends, &self.hasher);
        let hash = hasher.hash_one(tuple);
        self.by_tuple
            .insert_unique(hash, index, |index| ends.get(*index).map_or(0, |end| hasher.hash_one(end.tuple)));
        if let Some(end) = self.ends.get_mut(index) {
            end.listed = true;
        }
    }

    /// Introduces the end and its peer's socket to each other, if that is known.
    fn pair(&mut self, index: u32) {
        let Some(end) = self.ends.get(index).filter(|end| end.listed) else { return };
        let Some(other) = self.find(&end.tuple.reversed()).filter(|other| *other != index) else { return };
        let mine = end.local.clone();
        let Some(partner) = self.ends.get_mut(other).filter(|partner| !partner.ambiguous) else { return };
        partner.partner = index;
        partner.peer = mine;
        let theirs = partner.local.clone();
        if let Some(end) = self.ends.get_mut(index) {
            end.partner = other;
            end.peer = theirs;
        }
    }

    /// Takes back an introduction.
    fn unpair(&mut self, index: u32) {
        let Some(end) = self.ends.get_mut(index) else { return };
        let partner = std::mem::replace(&mut end.partner, NOBODY);
        end.peer = None;
        if let Some(partner) = self.ends.get_mut(partner).filter(|partner| partner.partner == index) {
            partner.partner = NOBODY;
            partner.peer = None;
        }
    }

    #[inline]
    fn find_id(&self, hash: u64, id: ConnectionId) -> Option<u32> {
        self.by_id.find(hash, |index| self.ends.get(*index).is_some_and(|end| end.id == id)).copied()
    }

    fn find(&self, tuple: &Tuple) -> Option<u32> {
        let hash = self.hasher.hash_one(tuple);
        self.by_tuple
            .find(hash, |index| self.ends.get(*index).is_some_and(|end| end.tuple == *tuple))
            .copied()
    }

    fn is_open(&self, index: u32) -> bool {
        self.ends.get(index).is_some_and(|end| {
            self.by_id.find(self.hasher.hash_one(end.id), |candidate| *candidate == index).is_some()
        })
    }

    fn forget_id(&mut self, index: u32, id: ConnectionId) -> bool {
        let hash = self.hasher.hash_one(id);
        match self.by_id.find_entry(hash, |candidate| *candidate == index) {
            Ok(entry) => {
                entry.remove();
                true
            }
            Err(_) => false,
        }
    }

    fn unlist(&mut self, index: u32) {
        let Some(end) = self.ends.get_mut(index).filter(|end| end.listed) else { return };
        end.listed = false;
        let hash = self.hasher.hash_one(end.tuple);
        if let Ok(entry) = self.by_tuple.find_entry(hash, |candidate| *candidate == index) {
            entry.remove();
        }
    }

    fn remove(&mut self, index: u32) {
        self.unlist(index);
        if let Some(end) = self.ends.remove(index)
            && let Some(partner) = self.ends.get_mut(end.partner).filter(|partner| partner.partner == index)
        {
            // What the partner knows of this end stays true.
            partner.partner = NOBODY;
        }
    }
}

// === impl Tuple ===

impl Tuple {
    fn of(record: &ConnectionRecord) -> Self {
        let loopback = record.local.address.is_loopback() || record.peer.address.is_loopback();
        Self { local: record.local, peer: record.peer, netns: if loopback { record.id.netns } else { 0 } }
    }

    fn reversed(&self) -> Self {
        Self { local: self.peer, peer: self.local, netns: self.netns }
    }
}
