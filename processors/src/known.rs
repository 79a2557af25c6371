//! [`Known`]: what a processor remembers of each connection, found once per record.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use longwave_pipeline::model::{ConnectionId, ConnectionRecord};

use crate::slab::Slab;

/// Records whose connections are looked up at a time.
pub(crate) const STRIDE: usize = 32;
/// In place of an index: there is none.
pub(crate) const NOBODY: u32 = u32::MAX;

/// The identity of connections that are open no more; no record has it.
const CLOSED: ConnectionId =
    ConnectionId { boot: u32::MAX, netns: u32::MAX, cookie: u64::MAX, generation: u64::MAX };

/// Passes without a record after which a connection is forgotten: its end was lost on the way.
const SILENT_PASSES: u16 = 256;
/// Looking for silent connections visits them all: once in so many passes.
const SWEEP_EVERY: u16 = 64;

/// Values of connections, by index, and those that are open by their identity.
///
/// Receivers tell of connections in nearly the same order pass after pass. So the connection behind the last one is guessed first: its
/// value is read at once, in most cases next to the last, without a hash and a look at a table that is out of the nearest caches.
pub(crate) struct Known<T> {
    hasher: RandomState,
    values: Slab<T>,
    by_id: HashTable<u32>,
    /// Of each index, the one that came behind it last time; at first the index behind it.
    next: Vec<u32>,
    /// The index that was looked up last.
    last: u32,
}

/// Whose value it is.
pub(crate) trait Identified {
    /// The connection's identity.
    fn id(&self) -> ConnectionId;

    /// Where it is kept.
    fn id_mut(&mut self) -> &mut ConnectionId;
}

/// Passes of the receiver so far, the lower bits.
#[derive(Clone, Copy, Default)]
pub(crate) struct Passes(u16);

// === impl Known ===

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self {
            hasher: RandomState::default(),
            values: Slab::default(),
            by_id: HashTable::new(),
            next: Vec::new(),
            last: 0,
        }
    }
}

impl<T: Identified> Known<T> {
    /// The indices of some records' connections, for [`Known::confirm`]: in this short loop the processor waits for several cache misses at
    /// a time. Where each was found when it is needed, it would wait for one after the other, and for nothing else as long.
    #[inline]
    pub fn look_up(&mut self, records: &[ConnectionRecord]) -> [u32; STRIDE] {
        let mut indices = [NOBODY; STRIDE];
        for (index, record) in indices.iter_mut().zip(records) {
            let guess = self.next.get(self.last as usize).copied().unwrap_or(NOBODY);
            *index = guess;
            if self.values.get(guess).is_none_or(|value| value.id() != record.id) {
                *index = self.find(record.id).unwrap_or(NOBODY);
                if *index == NOBODY {
                    continue;
                }
                if let Some(next) = self.next.get_mut(self.last as usize) {
                    *next = *index;
                }
            }
            self.last = *index;
        }
        indices
    }

    /// The index of an open connection, which was `index` a moment ago: another record may have opened or ended it since.
    #[inline]
    pub fn confirm(&self, index: u32, id: ConnectionId) -> Option<u32> {
        if self.values.get(index).is_some_and(|value| value.id() == id) { Some(index) } else { self.find(id) }
    }

    /// The index of an open connection.
    pub fn find(&self, id: ConnectionId) -> Option<u32> {
        let hash = self.hasher.hash_one(id);
        self.by_id.find(hash, |index| self.values.get(*index).is_some_and(|value| value.id() == id)).copied()
    }

    /// Adds a connection that is not known.
    pub fn insert(&mut self, value: T) -> u32 {
        let hash = self.hasher.hash_one(value.id());
        let index = self.values.insert(value);
        if self.next.len() <= index as usize {
            self.next.push(index + 1);
        }
        let Self { hasher, values, by_id, .. } = self;
        by_id.insert_unique(hash, index, |index| {
            values.get(*index).map_or(0, |value| hasher.hash_one(value.id()))
        });
        index
    }

    /// The connection is open no more: only its index leads to its value, until [`Known::remove`].
    pub fn close(&mut self, index: u32) {
        let Some(value) = self.values.get_mut(index) else { return };
        let hash = self.hasher.hash_one(value.id());
        *value.id_mut() = CLOSED;
        if let Ok(entry) = self.by_id.find_entry(hash, |candidate| *candidate == index) {
            entry.remove();
        }
    }

    /// The open connections that `which` names.
    pub fn open_where(&self, mut which: impl FnMut(&T) -> bool) -> Vec<u32> {
        let named = |index: &u32| self.values.get(*index).is_some_and(&mut which);
        self.by_id.iter().copied().filter(named).collect()
    }

    /// Forgets a connection.
    pub fn remove(&mut self, index: u32) -> Option<T> {
        self.close(index);
        self.values.remove(index)
    }

    /// The connection is open.
    pub fn is_open(&self, index: u32) -> bool {
        self.values.get(index).is_some_and(|value| value.id() != CLOSED)
    }

    /// The value at `index`.
    #[inline]
    pub fn get(&self, index: u32) -> Option<&T> {
        self.values.get(index)
    }

    /// The value at `index`.
    #[inline]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.values.get_mut(index)
    }

    /// All values.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.values.iter()
    }

    /// Open connections.
    pub fn open(&self) -> usize {
        self.by_id.len()
    }

    /// Values held.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.values.len()
    }
}

// === impl Passes ===

impl Passes {
    /// The pass that is under way.
    #[inline]
    pub fn current(self) -> u16 {
        self.0
    }

    /// It is over. True if silent connections should be looked for.
    pub fn end(&mut self) -> bool {
        self.0 = self.0.wrapping_add(1);
        self.0.is_multiple_of(SWEEP_EVERY)
    }

    /// A connection whose last record was of pass `seen` has been silent for too long.
    pub fn is_silent(self, seen: u16) -> bool {
        self.0.wrapping_sub(seen) >= SILENT_PASSES
    }
}
