//! The connections of this node, by identity and by addresses: a connection's names are found once and kept here until it ends.

mod end;
mod naming;
mod pairing;

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use hashbrown::{HashSet, HashTable};
use longwave_pipeline::record::{ConnectionId, ConnectionRecord};
use longwave_pipeline::{Handle, Workload};

pub(super) use naming::Seen;

use super::sources::Sources;
use crate::slab::Slab;
use end::{End, Flag};

/// Records whose connections are looked up at a time.
pub(super) const STRIDE: usize = 32;
/// Ended connections whose addresses are still known, so that the other end's close finds them: it may come a batch later.
const MOST_ENDED: usize = 8192;
/// Passes without a record after which a connection is forgotten: its end was lost on the way.
const SILENT_PASSES: u16 = 256;
/// Looking for silent connections visits them all: once in so many passes.
const SWEEP_EVERY: u16 = 64;
const NOBODY: u32 = u32::MAX;

/// All known ends.
pub(super) struct Ends {
    hasher: RandomState,
    ends: Slab<End>,
    /// Open connections.
    by_id: HashTable<u32>,
    /// One end for each tuple, open or ended lately.
    by_tuple: HashTable<u32>,
    /// Those of translated connections, by their aliases.
    by_alias: HashTable<u32>,
    ended: VecDeque<u32>,
    /// Passes so far, the lower bits.
    pass: u16,
    /// Addresses that sockets of this node have or had lately; without loopback's.
    addresses: HashSet<IpAddr, RandomState>,
    last_address: Option<IpAddr>,
    new_address: bool,
    /// An end whose records wait has heard of its peer.
    news: bool,
}

// === impl Ends ===

impl Ends {
    /// None known.
    pub fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            ends: Slab::default(),
            by_id: HashTable::new(),
            by_tuple: HashTable::new(),
            by_alias: HashTable::new(),
            ended: VecDeque::new(),
            pass: 0,
            addresses: HashSet::default(),
            last_address: None,
            new_address: false,
            news: false,
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

    /// The index of an open connection.
    pub fn index_of(&self, id: ConnectionId) -> Option<u32> {
        self.find_id(self.hasher.hash_one(id), id)
    }

    /// The workloads of the connection's local end and its peer.
    #[inline]
    pub fn names(&self, index: u32) -> (Option<&Handle<Workload>>, Option<&Handle<Workload>>) {
        self.ends.get(index).map_or((None, None), |end| (end.local.as_ref(), end.peer.as_ref()))
    }

    /// Records of the connection wait.
    pub fn is_held(&self, index: u32) -> bool {
        self.ends.get(index).is_some_and(|end| end.is(Flag::HELD))
    }

    /// A record of the connection waits from now on.
    pub fn hold(&mut self, index: u32) {
        if let Some(end) = self.ends.get_mut(index) {
            end.set(Flag::HELD, true);
        }
    }

    /// The connection's records do not wait any more; never again if they have `waited` in vain.
    pub fn release(&mut self, index: u32, waited: bool) {
        if let Some(end) = self.ends.get_mut(index) {
            end.set(Flag::HELD, false);
            end.set(Flag::WAITED, waited || end.is(Flag::WAITED));
        }
    }

    /// An end whose records wait has heard of its peer since the last call.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// An address has shown to be this node's since the last call.
    pub fn take_new_address(&mut self) -> bool {
        std::mem::take(&mut self.new_address)
    }

    /// The connection ended.
    pub fn end(&mut self, index: u32, id: ConnectionId, sources: &Sources) {
        if self.forget_id(index, id) {
            self.forget_translation(index, sources);
            self.ended.push_back(index);
            if self.ended.len() > MOST_ENDED
                && let Some(oldest) = self.ended.pop_front()
            {
                self.remove(oldest);
            }
        }
    }

    /// A pass of the receiver is over.
    pub fn pass_end(&mut self, sources: &Sources) {
        self.pass = self.pass.wrapping_add(1);
        if !self.pass.is_multiple_of(SWEEP_EVERY) {
            return;
        }
        let (ends, pass) = (&self.ends, self.pass);
        let mut silent = Vec::new();
        self.by_id.retain(|index| {
            let keep = ends
                .get(*index)
                .is_some_and(|end| end.is(Flag::HELD) || pass.wrapping_sub(end.seen) < SILENT_PASSES);
            if !keep {
                silent.push(*index);
            }
            keep
        });
        for index in silent {
            self.forget_translation(index, sources);
            self.remove(index);
        }
        let addresses = &mut self.addresses;
        addresses.clear();
        self.last_address = None;
        for end in self.ends.iter().filter(|end| !end.tuple.local.address.is_loopback()) {
            addresses.insert(end.tuple.local.address);
        }
    }

    /// Connections known, those that ended lately included.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Translated connections among them.
    #[cfg(test)]
    pub fn translated(&self) -> usize {
        self.by_alias.len()
    }

    /// The address is one of this node's sockets'.
    fn is_on_this_node(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.addresses.contains(&address)
    }

    #[inline]
    fn find_id(&self, hash: u64, id: ConnectionId) -> Option<u32> {
        self.by_id.find(hash, |index| self.ends.get(*index).is_some_and(|end| end.id == id)).copied()
    }

    fn insert(&mut self, end: End, hash: u64) -> u32 {
        let address = end.tuple.local.address;
        if self.last_address != Some(address) {
            self.last_address = Some(address);
            self.new_address |= !address.is_loopback() && self.addresses.insert(address);
        }
        let index = self.ends.insert(end);
        let (ends, hasher) = (&self.ends, &self.hasher);
        self.by_id
            .insert_unique(hash, index, |index| ends.get(*index).map_or(0, |end| hasher.hash_one(end.id)));
        index
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

    fn forget_translation(&self, index: u32, sources: &Sources) {
        let asked = Flag::TRANSLATION_PENDING.or(Flag::TRANSLATION_KNOWN);
        if let Some(end) = self.ends.get(index).filter(|end| end.is(asked))
            && let Some(translator) = sources.translator()
        {
            translator.forget(end.id);
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
