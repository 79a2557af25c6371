//! [`ConnectionMap`]: a processor's state of each connection. Looked up once per record.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use longwave_pipeline::model::{ConnectionId, ConnectionRecord};

use crate::slab::Slab;

/// Number of records whose connections are looked up at a time.
pub(crate) const STRIDE: usize = 32;
/// Used instead of the index of a connection that is not stored.
pub(crate) const NO_INDEX: u32 = u32::MAX;

/// The identity that is stored for closed connections. No record has it.
const CLOSED: ConnectionId =
    ConnectionId { boot: u32::MAX, netns: u32::MAX, cookie: u64::MAX, generation: u64::MAX };

/// Values of connections by index, and the indices of open connections by identity.
///
/// Receivers report connections in nearly the same order in every pass. So a look-up first tries the connection that followed the last one
/// in the pass before. In most cases its value is next to the last one in memory, and no hash table is read.
pub(crate) struct ConnectionMap<T> {
    hasher: RandomState,
    values: Slab<T>,
    by_id: HashTable<u32>,
    /// For each index, the index that followed it in the last pass. Initially `index + 1`.
    next: Vec<u32>,
    /// The index that was looked up last.
    last: u32,
}

/// A value that contains its connection's identity.
pub(crate) trait Identified {
    /// Returns the connection's identity.
    fn id(&self) -> ConnectionId;

    /// Returns the connection's identity, to replace it when the connection closes.
    fn id_mut(&mut self) -> &mut ConnectionId;
}

// === impl ConnectionMap ===

impl<T> Default for ConnectionMap<T> {
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

impl<T: Identified> ConnectionMap<T> {
    /// Returns the indices of the records' connections, for [`ConnectionMap::confirm`]; of at most [`STRIDE`] records. The CPU overlaps the
    /// cache misses of this short loop. Looking up each connection on demand would serialise them.
    #[inline]
    pub fn look_up(&mut self, records: &[ConnectionRecord]) -> [u32; STRIDE] {
        let mut indices = [NO_INDEX; STRIDE];
        for (index, record) in indices.iter_mut().zip(records) {
            let guess = self.next.get(self.last as usize).copied().unwrap_or(NO_INDEX);
            *index = guess;
            if self.values.get(guess).is_none_or(|value| value.id() != record.id) {
                *index = self.find(record.id).unwrap_or(NO_INDEX);
                if *index == NO_INDEX {
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

    /// Returns the index of an open connection. `index` is the result of [`ConnectionMap::look_up`]. It may be outdated, because another
    /// record may have opened or closed the connection since.
    #[inline]
    pub fn confirm(&self, index: u32, id: ConnectionId) -> Option<u32> {
        if self.values.get(index).is_some_and(|value| value.id() == id) { Some(index) } else { self.find(id) }
    }

    /// Returns the index of an open connection.
    pub fn find(&self, id: ConnectionId) -> Option<u32> {
        let hash = self.hasher.hash_one(id);
        self.by_id.find(hash, |index| self.values.get(*index).is_some_and(|value| value.id() == id)).copied()
    }

    /// Adds a connection that is not stored, and returns its index.
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

    /// Closes a connection: its value stays accessible by index only, until [`ConnectionMap::remove`].
    pub fn close(&mut self, index: u32) {
        let Some(value) = self.values.get_mut(index) else { return };
        let hash = self.hasher.hash_one(value.id());
        *value.id_mut() = CLOSED;
        if let Ok(entry) = self.by_id.find_entry(hash, |candidate| *candidate == index) {
            entry.remove();
        }
    }

    /// Returns the indices of the open connections for which `predicate` returns true.
    pub fn open_where(&self, mut predicate: impl FnMut(&T) -> bool) -> Vec<u32> {
        let matches = |index: &u32| self.values.get(*index).is_some_and(&mut predicate);
        self.by_id.iter().copied().filter(matches).collect()
    }

    /// Removes a connection, open or closed.
    pub fn remove(&mut self, index: u32) -> Option<T> {
        self.close(index);
        self.values.remove(index)
    }

    /// Returns true if the connection is open.
    pub fn is_open(&self, index: u32) -> bool {
        self.values.get(index).is_some_and(|value| value.id() != CLOSED)
    }

    /// Returns the value at `index`.
    #[inline]
    pub fn get(&self, index: u32) -> Option<&T> {
        self.values.get(index)
    }

    /// Returns the value at `index`.
    #[inline]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.values.get_mut(index)
    }

    /// Returns the values of all connections, in the order of indices.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.values.iter()
    }

    /// Returns the number of open connections.
    pub fn open(&self) -> usize {
        self.by_id.len()
    }

    /// Returns the number of open and closed connections.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.values.len()
    }
}
