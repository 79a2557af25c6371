//! What was true of each key, and when: the table behind every answer that is *as of* a time.
//!
//! Of each key one value is current, since a time; what it was before is remembered for a while, bounded by age and by number. An
//! address that was given to somebody else within one interval still answers each record with who had it then.

use std::collections::VecDeque;
use std::hash::Hash;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use longwave_pipeline::model::UnixNanos;

/// Values by key and time. A value holds from its `from` (inclusive) until its `until` (exclusive); spans of one key never overlap.
#[derive(Debug)]
pub struct History<K, V> {
    current: HashMap<K, CurrentSpan<V>, RandomState>,
    /// Oldest first; never empty. Few keys have any.
    past: HashMap<K, Vec<PastSpan<V>>, RandomState>,
    /// One entry for each past span, in the order in which they ended.
    ended: VecDeque<(UnixNanos, K)>,
    bounds: Bounds,
    /// Values that were new.
    changes: u64,
}

/// How much of the past is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How long what has ended is remembered.
    pub age: Duration,
    /// How many ended spans at most, of all keys; the oldest go first.
    pub count: usize,
}

#[derive(Debug)]
struct CurrentSpan<V> {
    value: V,
    from: UnixNanos,
}

#[derive(Debug)]
struct PastSpan<V> {
    value: V,
    from: UnixNanos,
    until: UnixNanos,
}

// === impl Bounds ===

impl Default for Bounds {
    /// Five minutes: longer than any record is under way; 65,536 spans.
    fn default() -> Self {
        Self { age: Duration::from_secs(300), count: 65_536 }
    }
}

// === impl History ===

impl<K: Hash + Eq + Clone, V: PartialEq> History<K, V> {
    /// An empty one.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            current: HashMap::default(),
            past: HashMap::default(),
            ended: VecDeque::new(),
            bounds,
            changes: 0,
        }
    }

    /// `key` is `value` since `from`, where the start is known: whoever was believed to be it after `from` was not. Who began later
    /// than `from` keeps the key, and what is told here becomes its past.
    pub fn set(&mut self, key: K, value: V, from: UnixNanos) {
        let Some(current) = self.current.get_mut(&key) else {
            self.changes += 1;
            let from = self.truncate_past(&key, from);
            self.current.insert(key, CurrentSpan { value, from });
            return;
        };
        if current.value == value {
            current.value = value;
            return;
        }
        self.changes += 1;
        if from >= current.from {
            let former = std::mem::replace(current, CurrentSpan { value, from });
            self.push_past(key, PastSpan { value: former.value, from: former.from, until: from });
        } else {
            let until = current.from;
            let from = self.truncate_past(&key, from).min(until);
            self.push_past(key, PastSpan { value, from, until });
        }
    }

    /// `key` is `value` since about `start`: at most `slack` before it, by another clock, in a time that is nobody else's.
    pub fn set_with_slack(&mut self, key: K, value: V, start: UnixNanos, slack: Duration) {
        let earliest = UnixNanos(start.0.saturating_sub(u64::try_from(slack.as_nanos()).unwrap_or(u64::MAX)));
        let from = match (self.current.contains_key(&key), self.past.get(&key).and_then(|spans| spans.last()))
        {
            (true, _) => start,
            (false, Some(last)) => earliest.max(last.until).min(start),
            (false, None) => earliest,
        };
        self.set(key, value, from);
    }

    /// `key` is `value` now, and may have been since `since`: it has the time in which nobody else is known to have had the key.
    pub fn set_since(&mut self, key: K, value: V, since: UnixNanos, now: UnixNanos) {
        let from = match (self.current.contains_key(&key), self.past.get(&key).and_then(|spans| spans.last()))
        {
            (true, _) => now,
            (false, Some(last)) => since.max(last.until),
            (false, None) => since,
        };
        self.set(key, value, from);
    }

    /// `key` is `value` no more, since `until`. Nothing changes if it is not: another has it already.
    pub fn end(&mut self, key: &K, value: &V, until: UnixNanos) {
        if self.current.get(key).is_some_and(|current| current.value == *value) {
            self.end_current(key, until);
        }
    }

    /// `key` is nothing any more, since `until`.
    pub fn end_current(&mut self, key: &K, until: UnixNanos) {
        if let Some((key, CurrentSpan { value, from })) = self.current.remove_entry(key) {
            self.push_past(key, PastSpan { value, from, until });
        }
    }

    /// What `key` was at `at`.
    #[inline]
    pub fn at(&self, key: &K, at: UnixNanos) -> Option<&V> {
        match self.current.get(key) {
            Some(current) if at >= current.from => Some(&current.value),
            _ if self.past.is_empty() => None,
            _ => self.past_at(key, at),
        }
    }

    /// What `key` is, or was last.
    pub fn latest(&self, key: &K) -> Option<&V> {
        let past = || Some(&self.past.get(key)?.last()?.value);
        self.current(key).or_else(past)
    }

    /// What `key` is.
    pub fn current(&self, key: &K) -> Option<&V> {
        Some(&self.current.get(key)?.value)
    }

    /// How often a key was told a value that it did not have. What ends or is forgotten is no news: who asked has the answer.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Keys that have a value.
    pub fn len(&self) -> usize {
        self.current.len()
    }

    /// No key has a value.
    pub fn is_empty(&self) -> bool {
        self.current.is_empty()
    }

    /// Spans that have ended and are remembered.
    pub fn past_len(&self) -> usize {
        self.ended.len()
    }

    /// Forgets what ended longer than [`Bounds::age`] ago. To be called now and then.
    pub fn evict_expired(&mut self, now: UnixNanos) {
        let oldest = now.0.saturating_sub(u64::try_from(self.bounds.age.as_nanos()).unwrap_or(u64::MAX));
        while self.ended.front().is_some_and(|(until, _)| until.0 < oldest) {
            self.evict_oldest();
        }
        // A burst must not keep its room for ever.
        if self.past.capacity() > 64 && self.past.len() < self.past.capacity() / 8 {
            self.past.shrink_to(self.past.len() * 2);
            self.ended.shrink_to(self.ended.len() * 2);
        }
        if self.current.capacity() > 64 && self.current.len() < self.current.capacity() / 8 {
            self.current.shrink_to(self.current.len() * 2);
        }
    }

    /// Ends `key`'s past where `from` begins; returns when a span that begins with `from` can begin at the earliest: it cannot have
    /// begun before one that is known to have begun later.
    fn truncate_past(&mut self, key: &K, from: UnixNanos) -> UnixNanos {
        let Some(last) = self.past.get_mut(key).and_then(|spans| spans.last_mut()) else { return from };
        if last.from >= from {
            return last.until;
        }
        last.until = last.until.min(from);
        from
    }

    fn push_past(&mut self, key: K, span: PastSpan<V>) {
        if span.until <= span.from {
            return;
        }
        self.ended.push_back((span.until, key.clone()));
        self.past.entry(key).or_default().push(span);
        while self.ended.len() > self.bounds.count {
            self.evict_oldest();
        }
    }

    /// Forgets what comes first in `ended`: its key's oldest span.
    fn evict_oldest(&mut self) {
        let Some((_, key)) = self.ended.pop_front() else { return };
        if let Some(spans) = self.past.get_mut(&key) {
            spans.remove(0);
            if spans.is_empty() {
                self.past.remove(&key);
            }
        }
    }

    #[cold]
    fn past_at(&self, key: &K, at: UnixNanos) -> Option<&V> {
        let span = self.past.get(key)?.iter().rev().find(|span| span.from <= at)?;
        (at < span.until).then_some(&span.value)
    }
}

#[cfg(test)]
mod tests;
