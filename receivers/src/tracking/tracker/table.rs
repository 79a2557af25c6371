//! Stores the open connections, with the data that belongs to each.

use std::hash::BuildHasher;
use std::mem;
use std::ops::Range;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};

use super::connection::{Connection, Progress};
use super::identity::{Identity, Origin, Origins, Slots};
use super::limits::{Rare, RareMap};
use super::outbox::Refused;

/// Open connections: a socket has one connection at a time.
///
/// The entries are in the order in which the connections were opened, apart from reused ones. A pass visits them in this order, and the
/// processors store their connections in nearly the same order, so that all of them read memory sequentially.
#[derive(Debug, Default)]
pub struct Connections {
    hasher: RandomState,
    /// Indices of the entries by cookie.
    by_cookie: HashTable<u32>,
    pub entries: Slots<Entry>,
    pub origins: Origins,
    /// What was observed of a connection since its last delivered record, by cookie. The next record delivers it.
    pub pending: HashMap<u64, Progress, RandomState>,
    /// What is stored only of some connections.
    pub rare: RareMap,
}

/// The kernel gives no socket this cookie.
const NO_COOKIE: u64 = 0;

/// Number of entries, 11 KiB, up to which [`Connections::compact`] frees none.
const MIN_ENTRIES: u32 = 64;

/// An open connection, or a free entry.
///
/// The cookie is in the first cache line and the time of the open in the last, so that reading both loads the entry.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Entry {
    /// [`NO_COOKIE`] if the entry is free.
    pub cookie: u64,
    pub connection: Connection,
    pub identity: Identity,
}

const _: () = assert!(size_of::<Entry>() <= 176, "100,000 connections must fit into the memory limit");

/// A connection that is not in [`Connections`], with the data that belongs to it.
#[derive(Debug)]
pub struct Detached {
    pub connection: Connection,
    pub identity: Identity,
    pub origin: Origin,
    pub pending: Option<Progress>,
    pub rare: Rare,
}

impl Connections {
    /// Returns the number of connections.
    pub fn len(&self) -> usize {
        self.by_cookie.len()
    }

    /// Returns the index of the connection with this cookie.
    #[inline]
    pub fn find(&self, cookie: u64) -> Option<u32> {
        let is_same = |index: &u32| self.get(*index).is_some_and(|entry| entry.cookie == cookie);
        self.by_cookie.find(self.hasher.hash_one(cookie), is_same).copied()
    }

    /// Returns the connection at an index. `None` if the entry is free.
    #[inline]
    pub fn get(&self, index: u32) -> Option<&Entry> {
        self.entries.get(index).filter(|entry| entry.cookie != NO_COOKIE)
    }

    /// Returns the connection at an index. `None` if the entry is free.
    #[inline]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut Entry> {
        self.entries.get_mut(index).filter(|entry| entry.cookie != NO_COOKIE)
    }

    /// Returns the indices of all entries, free ones included.
    pub fn indices(&self) -> Range<u32> {
        0..self.entries.capacity()
    }

    /// Returns all connections.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.indices().filter_map(|index| self.get(index))
    }

    /// Adds a connection that is not stored. Returns its index.
    pub fn insert(&mut self, cookie: u64, detached: Detached) -> u32 {
        let Detached { connection, mut identity, origin, .. } = detached;
        identity.origin = self.origins.acquire(origin);
        self.insert_entry(Entry { cookie, connection, identity })
    }

    fn insert_entry(&mut self, entry: Entry) -> u32 {
        let Self { hasher, by_cookie, entries, .. } = self;
        let index = entries.insert(entry);
        let hash = |index: &u32| entries.get(*index).map_or(0, |entry| hasher.hash_one(entry.cookie));
        by_cookie.insert_unique(hasher.hash_one(entry.cookie), index, hash);
        index
    }

    /// Frees the memory that a burst needed, if three quarters of the entries are free. Changes the indices.
    pub fn compact(&mut self) {
        let entries = self.entries.capacity();
        if entries <= MIN_ENTRIES || self.len() > entries as usize / 4 {
            return;
        }
        self.by_cookie = HashTable::with_capacity(self.len());
        for entry in mem::take(&mut self.entries).into_values() {
            if entry.cookie != NO_COOKIE {
                self.insert_entry(entry);
            }
        }
    }

    /// Removes the connection with this cookie.
    pub fn remove(&mut self, cookie: u64) -> Option<Detached> {
        let Self { hasher, by_cookie, entries, .. } = self;
        let is_same = |index: &u32| entries.get(*index).is_some_and(|entry| entry.cookie == cookie);
        let (index, _) = by_cookie.find_entry(hasher.hash_one(cookie), is_same).ok()?.remove();
        let Entry { connection, identity, .. } = *self.get(index)?;
        if self.by_cookie.is_empty() {
            // Frees the memory that a burst needed.
            self.by_cookie = HashTable::new();
        }
        self.entries.remove(index);
        let origin = self.origins.get(identity.origin);
        self.origins.release(identity.origin);
        let rare = if connection.has_rare() {
            self.rare.remove(&cookie).unwrap_or_default()
        } else {
            Rare::default()
        };
        Some(Detached { connection, identity, origin, pending: self.pending.remove(&cookie), rare })
    }

    /// Takes back refused updates. Their content becomes pending.
    pub fn undo(&mut self, refused: Refused) {
        // Latest first, so that a connection with two updates returns to what it was before the first.
        for undo in refused.into_iter().rev() {
            let index = self.find(undo.cookie);
            let entry = index.and_then(|index| self.entries.get_mut(index));
            let Some(Entry { connection, .. }) = entry else { continue };
            if connection.generation == undo.generation {
                let rare = rare_of(&self.rare, undo.cookie, connection);
                self.pending.entry(undo.cookie).or_insert_with(|| connection.progress(&rare));
                let rare = connection.undo(&undo.before, undo.first);
                store_rare(&mut self.rare, undo.cookie, connection, rare);
            }
        }
    }
}

/// Returns what is stored beside a connection.
#[inline]
pub fn rare_of(stored: &RareMap, cookie: u64, connection: &Connection) -> Rare {
    if connection.has_rare() { stored.get(&cookie).copied().unwrap_or_default() } else { Rare::default() }
}

/// Stores what belongs beside a connection, or removes it if it is the default.
#[inline]
pub fn store_rare(stored: &mut RareMap, cookie: u64, connection: &mut Connection, rare: Rare) {
    let has_rare = rare != Rare::default();
    if has_rare {
        stored.insert(cookie, rare);
    } else if connection.has_rare() {
        stored.remove(&cookie);
    }
    connection.set_has_rare(has_rare);
}
