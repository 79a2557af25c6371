//! [`StoreState`]: what the lock of a store protects.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use longwave_pipeline::component::{DropReason, Signal};

use super::limits::{StoreLimits, UserLimits};
use super::{StoreSize, StoreStats};
use crate::file_storage::queue_log::QueueLog;
use crate::file_storage::queue_name;

pub(super) struct StoreState {
    pub(super) limits: StoreLimits,
    pub(super) users: UserLimits,
    /// By the names of their directories.
    pub(super) queues: BTreeMap<String, QueueEntry>,
}

pub(super) struct QueueEntry {
    pub(super) log: QueueLog,
    pub(super) is_open: bool,
    /// Numbers of the calls that wait until the queue is closed, in their order.
    waiting: VecDeque<u64>,
    next_number: u64,
    /// Time of the start, or of the last close.
    closed: Instant,
}

// === impl StoreState ===

impl StoreState {
    /// Returns the log of a queue. `None` if it was never opened and has no files.
    pub(super) fn log(&mut self, name: &str) -> Option<&mut QueueLog> {
        self.queues.get_mut(name).map(|entry| &mut entry.log)
    }

    pub(super) fn logs(&mut self) -> impl Iterator<Item = &mut QueueLog> {
        self.queues.values_mut().map(|entry| &mut entry.log)
    }

    pub(super) fn size(&self) -> StoreSize {
        let mut size = StoreSize::default();
        for QueueEntry { log, .. } in self.queues.values() {
            size.bytes += log.bytes();
            size.segments += log.segments() as u64;
            size.records += log.pending();
        }
        size
    }

    /// Removes the oldest records, until the limit of bytes is met.
    pub(super) fn shrink(&mut self, stats: &StoreStats) {
        while self.size().bytes > self.limits.bytes {
            if !self.remove_oldest(stats) {
                return;
            }
        }
    }

    /// Removes the oldest segment of all queues. Returns false if there is none, or it cannot be removed.
    pub(super) fn remove_oldest(&mut self, stats: &StoreStats) -> bool {
        let oldest = self.logs().filter_map(|log| Some((log.oldest()?, log)));
        let Some((_, log)) = oldest.min_by_key(|(time, _)| *time) else { return false };
        match log.remove_oldest(DropReason::STORAGE_FULL) {
            Ok(Some(pending)) => {
                stats.full_records.fetch_add(pending, Ordering::Relaxed);
                true
            }
            Ok(None) => false,
            Err(_) => {
                stats.failures.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    /// Returns the queues with records that have been closed for this time, as (exporter, signal, number of records).
    pub(super) fn unused(&self, since: Duration) -> Vec<(String, Signal, u64)> {
        let unused = self.queues.iter().filter_map(|(name, entry)| {
            let is_unused = !entry.is_open && entry.closed.elapsed() >= since && entry.log.pending() > 0;
            let (exporter, signal) = queue_name::parse(name).filter(|_| is_unused)?;
            Some((exporter, signal, entry.log.pending()))
        });
        unused.collect()
    }
}

// === impl QueueEntry ===

impl QueueEntry {
    pub(super) fn new(log: QueueLog) -> Self {
        Self { log, is_open: false, waiting: VecDeque::new(), next_number: 0, closed: Instant::now() }
    }

    /// Adds a call that opens the queue. Returns its number.
    pub(super) fn add_waiting(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.waiting.push_back(number);
        number
    }

    /// Returns whether a call has to wait: the queue is open, or another call is first.
    pub(super) fn has_to_wait(&self, number: u64) -> bool {
        self.is_open || self.waiting.front() != Some(&number)
    }

    pub(super) fn remove_waiting(&mut self, number: u64) {
        self.waiting.retain(|waiting| *waiting != number);
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn close(&mut self) {
        (self.is_open, self.closed) = (false, Instant::now());
    }
}
