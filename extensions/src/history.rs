//! Table of values by key and time, for look-ups *as of* a time.
//!
//! Each key has at most one current value, with the time since which it is valid. Former values are kept for a while, bounded by age and
//! by number. So if an address changes its owner within one interval, each record still gets the owner of its own time.

use std::collections::VecDeque;
use std::hash::Hash;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use longwave_pipeline::model::UnixNanos;

/// Values by key and time. A value is valid from `from` (inclusive) until `until` (exclusive). Spans of one key never overlap.
#[derive(Debug)]
pub struct History<K, V> {
    current: HashMap<K, CurrentSpan<V>, RandomState>,
    /// Former values, oldest first; no list is empty. Few keys have any.
    past: HashMap<K, Vec<PastSpan<V>>, RandomState>,
    /// One entry for each former value, in the order in which they ended.
    ended: VecDeque<(UnixNanos, K)>,
    bounds: Bounds,
    /// Number of times that a key got a value that differs from its current one.
    changes: u64,
}

/// Limits on the former values that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How long a value is kept after its end.
    pub age: Duration,
    /// Largest number of former values, over all keys. The oldest are evicted first.
    pub count: usize,
}

/// Largest difference between clocks at which a value may begin in the future, in nanoseconds.
const MAX_AHEAD: u64 = 10_000_000_000;

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
    /// Returns five minutes, which is longer than any record waits for its names, and 65,536 values.
    fn default() -> Self {
        Self { age: Duration::from_secs(300), count: 65_536 }
    }
}

// === impl History ===

impl<K: Hash + Eq + Clone, V: PartialEq> History<K, V> {
    /// Returns an empty table.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            current: HashMap::default(),
            past: HashMap::default(),
            ended: VecDeque::new(),
            bounds,
            changes: 0,
        }
    }

    /// Sets `key` to `value` from `from` on. This start must be exact. Truncates overlapping history at `from`. If the current value
    /// started later than `from`, it stays current, and `value` becomes the value before it.
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

    /// Sets `key` to `value` from about `start` on, which is a time of another clock. The span begins up to `slack` earlier if no other
    /// value was valid then.
    pub fn set_with_slack(&mut self, key: K, value: V, start: UnixNanos, slack: Duration) {
        let earliest = UnixNanos(start.0.saturating_sub(u64::try_from(slack.as_nanos()).unwrap_or(u64::MAX)));
        let from = self.free_since(&key, earliest, start).min(start);
        self.set(key, value, from);
    }

    /// Sets `key` to `value` from `now` on. The span begins as early as `since` if no other value is known for that time.
    pub fn set_since(&mut self, key: K, value: V, since: UnixNanos, now: UnixNanos) {
        let from = self.free_since(&key, since, now);
        self.set(key, value, from);
    }

    /// Ends `value` at `until`. Does nothing if `key` has another value by now.
    pub fn end(&mut self, key: &K, value: &V, until: UnixNanos) {
        if self.current.get(key).is_some_and(|current| current.value == *value) {
            self.end_current(key, until);
        }
    }

    /// Ends the current value of `key`, whatever it is, at `until`.
    pub fn end_current(&mut self, key: &K, until: UnixNanos) {
        if let Some((key, CurrentSpan { value, from })) = self.current.remove_entry(key) {
            self.push_past(key, PastSpan { value, from, until });
        }
    }

    /// Returns the time since which the value of `key` at the time `at` is valid.
    pub fn since(&self, key: &K, at: UnixNanos) -> Option<UnixNanos> {
        match self.current.get(key) {
            Some(current) if at >= current.from => Some(current.from),
            _ => Some(self.past_span_at(key, at)?.from),
        }
    }

    /// Returns the value of `key` at the time `at`.
    #[inline]
    pub fn at(&self, key: &K, at: UnixNanos) -> Option<&V> {
        match self.current.get(key) {
            Some(current) if at >= current.from => Some(&current.value),
            _ if self.past.is_empty() => None,
            _ => self.past_at(key, at),
        }
    }

    /// Returns the current value of `key`, or the last one if it has none.
    pub fn latest(&self, key: &K) -> Option<&V> {
        let past = || Some(&self.past.get(key)?.last()?.value);
        self.current(key).or_else(past)
    }

    /// Returns the current value of `key`.
    pub fn current(&self, key: &K) -> Option<&V> {
        Some(&self.current.get(key)?.value)
    }

    /// Returns how many times a key got a value that differs from its current one. Endings and evictions are not counted, since no pending
    /// look-up depends on them.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Returns the number of keys that have a current value.
    pub fn len(&self) -> usize {
        self.current.len()
    }

    /// Returns whether no key has a current value.
    pub fn is_empty(&self) -> bool {
        self.current.is_empty()
    }

    /// Returns the number of former values that are kept.
    pub fn past_len(&self) -> usize {
        self.ended.len()
    }

    /// Evicts former values that ended longer than [`Bounds::age`] ago. Call it periodically.
    ///
    /// Also changes current values that begin long after `now`. They are valid now, so the clock was set back after they began. Otherwise
    /// they would not be found until the clock has caught up.
    pub fn evict_expired(&mut self, now: UnixNanos) {
        let latest = UnixNanos(now.0.saturating_add(MAX_AHEAD));
        for (key, current) in self.current.iter_mut().filter(|(_, current)| current.from > latest) {
            let last = self.past.get(key).and_then(|spans| spans.last());
            current.from = last.map_or_else(UnixNanos::default, |last| last.until.min(now));
        }
        let oldest = now.0.saturating_sub(u64::try_from(self.bounds.age.as_nanos()).unwrap_or(u64::MAX));
        while self.ended.front().is_some_and(|(until, _)| until.0 < oldest) {
            self.evict_oldest();
        }
        shrink_if_sparse(&mut self.past);
        shrink_if_sparse(&mut self.current);
        if self.ended.capacity() > 64 && self.ended.len() < self.ended.capacity() / 8 {
            self.ended.shrink_to(self.ended.len() * 2);
        }
    }

    /// Returns `latest` if `key` has a current value, else the earliest time from `earliest` on at which no former value is valid.
    fn free_since(&self, key: &K, earliest: UnixNanos, latest: UnixNanos) -> UnixNanos {
        match (self.current.contains_key(key), self.past.get(key).and_then(|spans| spans.last())) {
            (true, _) => latest,
            (false, Some(last)) => earliest.max(last.until),
            (false, None) => earliest,
        }
    }

    /// Truncates the last former value of `key` at `from`. Returns the earliest possible start of a value that is set from `from` on: it
    /// cannot start before a former value that is known to have started later.
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

    /// Evicts the former value that ended first.
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
        Some(&self.past_span_at(key, at)?.value)
    }

    fn past_span_at(&self, key: &K, at: UnixNanos) -> Option<&PastSpan<V>> {
        self.past.get(key)?.iter().rev().find(|span| span.from <= at).filter(|span| at < span.until)
    }
}

/// Frees memory that only a burst needed.
pub(crate) fn shrink_if_sparse<K: Hash + Eq, V>(map: &mut HashMap<K, V, RandomState>) {
    if map.capacity() > 64 && map.len() < map.capacity() / 8 {
        map.shrink_to(map.len() * 2);
    }
}

#[cfg(test)]
mod tests;
