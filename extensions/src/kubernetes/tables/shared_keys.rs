//! Table of keys that several objects may declare at the same time: two pods declare a node's port, two services have the same backend. The
//! caller derives one meaning from all declarations of a key, and the table keeps this meaning as of a time.

use std::hash::Hash;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use longwave_pipeline::model::UnixNanos;

use super::Update;
use crate::history::{Bounds, History, shrink_if_sparse};

/// Declarations `D` of keys `K`, and their meaning `V`.
#[derive(Debug)]
pub(super) struct SharedKeys<K, D, V> {
    declarations: HashMap<K, Declarations<D>, RandomState>,
    meaning: History<K, V>,
}

/// Declarations of one key. Nearly all keys have one.
#[derive(Debug)]
enum Declarations<D> {
    One(D),
    /// At least two. An equal declaration counts again: two slices contain one endpoint while it moves between them.
    Many(Vec<D>),
}

// === impl SharedKeys ===

impl<K: Hash + Eq + Clone, D: PartialEq, V: PartialEq> SharedKeys<K, D, V> {
    pub fn new(bounds: Bounds) -> Self {
        Self { declarations: HashMap::default(), meaning: History::new(bounds) }
    }

    /// Adds a declaration. `means` returns the meaning of all declarations of the key.
    pub fn add(&mut self, key: K, declaration: D, update: Update, means: impl Fn(&[D]) -> Option<V>) {
        match self.declarations.entry(key.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(Declarations::One(declaration));
            }
            Entry::Occupied(mut entry) => {
                let mut all = match entry.insert(Declarations::Many(Vec::new())) {
                    Declarations::One(first) => vec![first],
                    Declarations::Many(all) => all,
                };
                all.push(declaration);
                entry.insert(Declarations::Many(all));
            }
        }
        self.update_meaning(key, update, means);
    }

    /// Replaces declarations that are equal, whose other content may differ.
    pub fn replace(&mut self, key: K, declaration: &D, update: Update, means: impl Fn(&[D]) -> Option<V>)
    where
        D: Clone,
    {
        let all = match self.declarations.get_mut(&key) {
            None => return,
            Some(Declarations::One(only)) => std::slice::from_mut(only),
            Some(Declarations::Many(all)) => all.as_mut_slice(),
        };
        all.iter_mut()
            .filter(|existing| *existing == declaration)
            .for_each(|existing| *existing = declaration.clone());
        self.update_meaning(key, update, means);
    }

    /// Removes one declaration.
    pub fn remove(&mut self, key: K, declaration: &D, update: Update, means: impl Fn(&[D]) -> Option<V>) {
        let Entry::Occupied(mut entry) = self.declarations.entry(key.clone()) else { return };
        match entry.get_mut() {
            Declarations::One(existing) if existing == declaration => {
                entry.remove();
            }
            Declarations::One(_) => return,
            Declarations::Many(all) => {
                let Some(index) = all.iter().position(|existing| existing == declaration) else { return };
                all.swap_remove(index);
                if all.len() == 1
                    && let Some(last) = all.pop()
                {
                    entry.insert(Declarations::One(last));
                }
            }
        }
        self.update_meaning(key, update, means);
    }

    /// Returns whether the key has a meaning now.
    pub fn has(&self, key: &K) -> bool {
        self.meaning.current(key).is_some()
    }

    /// Returns the meaning of the key at `at`.
    #[inline]
    pub fn at(&self, key: &K, at: UnixNanos) -> Option<&V> {
        self.meaning.at(key, at)
    }

    /// Returns the time since which the meaning of the key at `at` is valid.
    pub fn since(&self, key: &K, at: UnixNanos) -> Option<UnixNanos> {
        self.meaning.since(key, at)
    }

    /// Returns the number of changes, as [`History::changes`] does.
    pub fn changes(&self) -> u64 {
        self.meaning.changes()
    }

    pub fn past_len(&self) -> usize {
        self.meaning.past_len()
    }

    pub fn evict_expired(&mut self, now: UnixNanos) {
        self.meaning.evict_expired(now);
        shrink_if_sparse(&mut self.declarations);
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.declarations.len().max(self.meaning.len())
    }

    fn update_meaning(&mut self, key: K, update: Update, means: impl Fn(&[D]) -> Option<V>) {
        let meaning = match self.declarations.get(&key) {
            None => None,
            Some(Declarations::One(declaration)) => means(std::slice::from_ref(declaration)),
            Some(Declarations::Many(all)) => means(all),
        };
        match meaning {
            // All declarations of the first listing may have been valid at the same time.
            Some(value) if update.since == UnixNanos::default() && self.meaning.current(&key).is_some() => {
                let since = self.meaning.since(&key, update.now).unwrap_or_default();
                self.meaning.set(key, value, since);
            }
            // An equal value replaces the current one, and keeps its start.
            Some(value) => self.meaning.set_since(key, value, update.since, update.now),
            None => self.meaning.end_current(&key, update.now),
        }
    }
}
