//! [`MemoryLimiter`]: measures the memory of the process, and decides whether records are refused.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::config::{MemoryLimiterConfig, MemoryLimits};

/// The limiters by id, with their settings. A reload can change them.
#[derive(Default)]
pub(super) struct MemoryLimiters(Mutex<HashMap<String, (MemoryLimiterConfig, Arc<MemoryLimiter>)>>);

/// Shared by the processors with one id.
pub(super) struct MemoryLimiter {
    /// `processors::<id>`, for messages.
    section: String,
    limits: MemoryLimits,
    check_interval: Duration,
    /// Shortest time between two requests to the allocator, above the soft and above the hard limit.
    release_intervals: (Duration, Duration),
    memory: Memory,
    state: Mutex<LimiterState>,
}

/// The memory of the process.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    /// Returns the resident bytes.
    pub(super) used: fn() -> Option<u64>,
    /// Makes the allocator give free memory back.
    pub(super) release: fn(),
}

#[derive(Default)]
struct LimiterState {
    checked: Option<Instant>,
    released: Option<Instant>,
    /// `None` while records are accepted.
    refusal: Option<Refusal>,
}

/// What was refused since the memory exceeded the limit.
struct Refusal {
    since: Instant,
    records: u64,
}

// === impl MemoryLimiters ===

impl MemoryLimiters {
    /// Returns the limiter of an id and its settings. The first call with these makes it with `make`.
    pub(super) fn get_or_insert(
        &self,
        id: &str,
        config: &MemoryLimiterConfig,
        make: impl FnOnce() -> MemoryLimiter,
    ) -> Arc<MemoryLimiter> {
        let mut limiters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match limiters.get(id) {
            Some((known, limiter)) if known == config => Arc::clone(limiter),
            _ => {
                let limiter = Arc::new(make());
                limiters.insert(id.to_owned(), (config.clone(), Arc::clone(&limiter)));
                limiter
            }
        }
    }
}

// === impl MemoryLimiter ===

impl MemoryLimiter {
    pub(super) fn new(id: &str, config: &MemoryLimiterConfig, limits: MemoryLimits, memory: Memory) -> Self {
        let (soft, hard) =
            (config.min_gc_interval_when_soft_limited, config.min_gc_interval_when_hard_limited);
        Self {
            section: format!("processors::{id}"),
            limits,
            check_interval: config.check_interval.get(),
            release_intervals: (soft.get(), hard.get()),
            memory,
            state: Mutex::default(),
        }
    }

    /// Returns whether records are refused. Measures if the last measurement is as old as the interval.
    pub(super) fn refuses(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.checked.is_none_or(|checked| now.duration_since(checked) >= self.check_interval) {
            state.checked = Some(now);
            self.check(&mut state, now);
        }
        state.refusal.is_some()
    }

    /// Counts refused records, for the log.
    pub(super) fn add_refused(&self, records: u64) {
        if let Some(refusal) = &mut self.state.lock().unwrap_or_else(PoisonError::into_inner).refusal {
            refusal.records += records;
        }
    }

    fn check(&self, state: &mut LimiterState, now: Instant) {
        // If the memory cannot be measured, it is not limited.
        let Some(mut used) = (self.memory.used)() else { return };
        if used > self.limits.soft {
            let interval =
                if used > self.limits.hard { self.release_intervals.1 } else { self.release_intervals.0 };
            if state.released.is_none_or(|released| now.duration_since(released) >= interval) {
                state.released = Some(now);
                (self.memory.release)();
                used = (self.memory.used)().unwrap_or(used);
            }
        }
        let (mib, section) = (|bytes: u64| bytes >> 20, &self.section);
        match &state.refusal {
            None if used > self.limits.soft => {
                tracing::warn!(
                    "{section}: the process uses {} MiB, which is more than the soft limit of {} MiB: records are dropped until it uses less \
                     (a server that is down fills the sending queues; if this is the normal load, increase limit_mib or limit_percentage)",
                    mib(used),
                    mib(self.limits.soft),
                );
                state.refusal = Some(Refusal { since: now, records: 0 });
            }
            Some(Refusal { since, records }) if used <= self.limits.soft => {
                tracing::info!(
                    "{section}: the process uses {} MiB, which is within the soft limit of {} MiB: {records} records were dropped in {:?}, and \
                     records are accepted again",
                    mib(used),
                    mib(self.limits.soft),
                    now.duration_since(*since),
                );
                state.refusal = None;
            }
            _ => {}
        }
    }
}
