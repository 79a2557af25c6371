//! A set whose elements several objects may add.

use std::hash::Hash;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Elements with the number of objects that have each. An element leaves the set when it was removed as often as it was added.
#[derive(Debug)]
pub(super) struct CountedSet<T> {
    counts: HashMap<T, u32, RandomState>,
    changes: u64,
}

// === impl CountedSet ===

impl<T> Default for CountedSet<T> {
    fn default() -> Self {
        Self { counts: HashMap::default(), changes: 0 }
    }
}

impl<T: Hash + Eq> CountedSet<T> {
    pub fn contains(&self, element: &T) -> bool {
        self.counts.contains_key(element)
    }

    pub fn add(&mut self, element: T) {
        let count = self.counts.entry(element).or_default();
        self.changes += u64::from(*count == 0);
        *count += 1;
    }

    pub fn remove(&mut self, element: &T) {
        if let Some(count) = self.counts.get_mut(element) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(element);
            }
        }
    }

    /// Returns the number of times that an element was added that no object had.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.counts.len()
    }
}
