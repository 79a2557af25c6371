//! Keys that several may claim at a time: a node's port that two pods declare, a backend that two services share. What the key then
//! means is for a rule to say, and is remembered as of its time.

use std::hash::Hash;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use longwave_pipeline::model::UnixNanos;

use super::News;
use crate::history::{Bounds, History};

/// Claims `C` to keys `K`, and what they mean, `V`.
#[derive(Debug)]
pub(super) struct Claims<K, C, V> {
    claims: HashMap<K, Claimants<C>, RandomState>,
    meaning: History<K, V>,
}

/// One for nearly all.
#[derive(Debug)]
enum Claimants<C> {
    One(C),
    /// At least two; the same claim twice is two (two slices that name one endpoint while it moves).
    Many(Vec<C>),
}

// === impl Claims ===

impl<K: Hash + Eq + Clone, C: PartialEq, V: PartialEq> Claims<K, C, V> {
    pub fn new(bounds: Bounds) -> Self {
        Self { claims: HashMap::default(), meaning: History::new(bounds) }
    }

    /// Adds a claim; `means` says what all claims to the key mean together.
    pub fn add(&mut self, key: K, claim: C, news: News, means: impl Fn(&[C]) -> Option<V>) {
        match self.claims.entry(key.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(Claimants::One(claim));
            }
            Entry::Occupied(mut entry) => {
                let mut all = match entry.insert(Claimants::Many(Vec::new())) {
                    Claimants::One(first) => vec![first],
                    Claimants::Many(all) => all,
                };
                all.push(claim);
                entry.insert(Claimants::Many(all));
            }
        }
        self.settle(key, news, means);
    }

    /// Takes one claim back.
    pub fn remove(&mut self, key: K, claim: &C, news: News, means: impl Fn(&[C]) -> Option<V>) {
        let Entry::Occupied(mut entry) = self.claims.entry(key.clone()) else { return };
        match entry.get_mut() {
            Claimants::One(held) if held == claim => {
                entry.remove();
            }
            Claimants::One(_) => return,
            Claimants::Many(all) => {
                let Some(place) = all.iter().position(|held| held == claim) else { return };
                all.swap_remove(place);
                if all.len() == 1
                    && let Some(last) = all.pop()
                {
                    entry.insert(Claimants::One(last));
                }
            }
        }
        self.settle(key, news, means);
    }

    /// What the key meant at `at`.
    #[inline]
    pub fn at(&self, key: &K, at: UnixNanos) -> Option<&V> {
        self.meaning.at(key, at)
    }

    /// See [`History::news`].
    pub fn news(&self) -> u64 {
        self.meaning.news()
    }

    pub fn remembered(&self) -> usize {
        self.meaning.remembered()
    }

    pub fn forget(&mut self, now: UnixNanos) {
        self.meaning.forget(now);
        if self.claims.capacity() > 64 && self.claims.len() < self.claims.capacity() / 8 {
            self.claims.shrink_to(self.claims.len() * 2);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.claims.len().max(self.meaning.len())
    }

    fn settle(&mut self, key: K, news: News, means: impl Fn(&[C]) -> Option<V>) {
        let meaning = match self.claims.get(&key) {
            None => None,
            Some(Claimants::One(claim)) => means(std::slice::from_ref(claim)),
            Some(Claimants::Many(all)) => means(all),
        };
        match meaning {
            Some(value) if self.meaning.current(&key) == Some(&value) => {}
            Some(value) => self.meaning.set_since(key, value, news.since, news.now),
            None => self.meaning.end_current(&key, news.now),
        }
    }
}
