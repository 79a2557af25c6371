//! [`HeldRecords`]: records that wait for a name.
//!
//! Invariants, each with a test:
//! - Every held record is released exactly once, and the records of one connection leave in the order in which they arrived.
//! - A connection waits once. All its records leave at the latest at the first watermark at which the first of them has waited for the
//!   whole `hold`.
//! - A record that leaves after the watermark of its window would be late. So its tick is changed to one nanosecond after the last
//!   watermark that was passed on, which is in the open window.
//! - At most [`MAX_HELD`] records wait. If there is no room, the first record of a connection is refused. To make room for a later record
//!   of a connection, the connection that has waited longest is released.
//!
//! A processor runs only when it receives a batch, so records leave with the next batch or watermark after their names are known.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use longwave_config::GoDuration;
use longwave_pipeline::component::{Node, Problems, ProcessorContext};
use longwave_pipeline::model::{Batch, ConnectionId, ConnectionRecord, UnixNanos};

use super::telemetry::{Outcome, Telemetry};

/// Maximum number of held records (about 6 MB).
pub(crate) const MAX_HELD: usize = 16_384;
/// Maximum value of `hold`. Records that wait longer would be reported long after their own window.
const MAX_HOLD: Duration = Duration::from_secs(60);
/// Maximum number of records in a batch.
const BATCH: usize = 1024;

/// Connections whose records wait.
pub(super) struct HeldRecords {
    /// The setting `hold` in nanoseconds; 0: no record waits.
    hold: u64,
    max: usize,
    /// Queues of connections, by the arrival number of their first record.
    queues: BTreeMap<u64, ConnectionQueue>,
    arrival_by_id: HashMap<ConnectionId, u64, foldhash::fast::RandomState>,
    arrivals: u64,
    /// Number of records in all queues.
    records: usize,
    /// The last watermark that was passed on.
    watermark: Option<UnixNanos>,
    node: Arc<Node>,
    telemetry: Telemetry,
}

/// Result of [`HeldRecords::push`].
#[derive(Debug, PartialEq)]
pub(super) enum Offered {
    /// The record is held.
    Waits,
    /// There is no room. The caller has to pass the record on now.
    Refused,
}

/// One connection's records, in order; never empty.
struct ConnectionQueue {
    id: ConnectionId,
    /// When the first record began to wait, by the clock of ticks.
    since: UnixNanos,
    records: Vec<ConnectionRecord>,
}

/// Checks the setting `hold`.
pub(crate) fn check_setting(hold: GoDuration, problems: &mut Problems) {
    if hold.get() > MAX_HOLD {
        let text = format!(
            "{hold} is too long (at most 1m): held records are reported in a later window than theirs; use the receiver's interval, \
             for example 5s, or 0s to hold none"
        );
        problems.at("hold", text);
    }
}

/// Appends records to `out`, in batches of at most [`BATCH`].
pub(super) fn push_batches(mut records: Vec<ConnectionRecord>, out: &mut Vec<Batch>) {
    while records.len() > BATCH {
        let rest = records.split_off(BATCH);
        out.push(Batch::records(std::mem::replace(&mut records, rest)));
    }
    if !records.is_empty() {
        out.push(Batch::records(records));
    }
}

// === impl HeldRecords ===

impl HeldRecords {
    /// Creates an empty store. `hold` is the setting; with 0, no record waits.
    pub fn new(context: &ProcessorContext, hold: Duration) -> Self {
        Self {
            hold: u64::try_from(hold.as_nanos()).unwrap_or(u64::MAX),
            max: MAX_HELD,
            queues: BTreeMap::new(),
            arrival_by_id: HashMap::default(),
            arrivals: 0,
            records: 0,
            watermark: None,
            node: Arc::clone(&context.node),
            telemetry: Telemetry::new(context),
        }
    }

    /// Sets the number of records that may wait.
    #[cfg(test)]
    pub fn with_room(mut self, max: usize) -> Self {
        self.max = max;
        self
    }

    /// Returns true if records may wait at all.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.hold > 0
    }

    /// Returns true if no record waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Returns true if records of the connection wait.
    pub fn holds(&self, id: ConnectionId) -> bool {
        self.arrival_by_id.contains_key(&id)
    }

    /// Holds a record, after the held records of its connection. Appends the records that leave to make room for it to `out`. If these are
    /// of its own connection, the record is refused, and the caller has to pass it on after them.
    pub fn push(&mut self, record: &ConnectionRecord, out: &mut Vec<ConnectionRecord>) -> Offered {
        let is_first = !self.holds(record.id);
        if self.records >= self.max {
            let oldest = if is_first { None } else { self.queues.pop_first() };
            let oldest_id = oldest.as_ref().map(|(_, oldest)| oldest.id);
            if let Some((_, oldest)) = oldest {
                self.remove(oldest, Outcome::NoRoom, out);
            }
            if is_first || oldest_id == Some(record.id) {
                self.telemetry.count_refused();
                self.account();
                return Offered::Refused;
            }
        }
        let arrival = *self.arrival_by_id.entry(record.id).or_insert_with(|| {
            self.arrivals += 1;
            self.arrivals
        });
        let since = self.begins_to_wait(record);
        let queue = self.queues.entry(arrival).or_insert_with(|| ConnectionQueue {
            id: record.id,
            since,
            records: Vec::with_capacity(1),
        });
        queue.records.push(record.clone());
        self.records += 1;
        self.account();
        Offered::Waits
    }

    /// Releases the connections for whose first record `is_settled` returns true.
    pub fn release(
        &mut self,
        out: &mut Vec<ConnectionRecord>,
        mut is_settled: impl FnMut(&ConnectionRecord) -> bool,
    ) {
        self.take(Outcome::Resolved, out, |queue| queue.records.first().is_none_or(&mut is_settled));
    }

    /// Releases the connections that have waited long enough. Called with a watermark before it is passed on.
    pub fn release_overdue(&mut self, tick: UnixNanos, out: &mut Vec<ConnectionRecord>) {
        let hold = self.hold;
        self.take(Outcome::Unresolved, out, |queue| queue.since.0.saturating_add(hold) <= tick.0);
    }

    /// Releases all connections. Called when no record follows.
    pub fn release_all(&mut self, out: &mut Vec<ConnectionRecord>) {
        self.take(Outcome::Unresolved, out, |_| true);
    }

    /// Stores that the watermark `tick` was passed on, so that windows up to it are closed.
    pub fn passed(&mut self, tick: UnixNanos) {
        self.watermark = self.watermark.max(Some(tick));
    }

    /// Returns when a record begins to wait, by the clock of ticks.
    fn begins_to_wait(&self, record: &ConnectionRecord) -> UnixNanos {
        let watermark = self.watermark.unwrap_or_default();
        let latest = record.tick.max(watermark);
        // Times of records are long before the ticks if the wall clock was set back. Then only the record's window is known.
        let is_other_clock = watermark.0.saturating_sub(record.observed.0) > self.hold;
        if is_other_clock { latest } else { record.observed.max(watermark).min(latest) }
    }

    fn take(
        &mut self,
        outcome: Outcome,
        out: &mut Vec<ConnectionRecord>,
        mut leaves: impl FnMut(&ConnectionQueue) -> bool,
    ) {
        if self.is_empty() {
            return;
        }
        let taken: Vec<_> = self.queues.extract_if(.., |_, queue| leaves(queue)).collect();
        for (_, queue) in taken {
            self.remove(queue, outcome, out);
        }
        if self.is_empty() {
            // Frees the memory that a burst has taken.
            self.arrival_by_id = HashMap::default();
        }
        self.account();
    }

    /// Completes the removal of a connection that is no longer in `queues`.
    fn remove(&mut self, queue: ConnectionQueue, outcome: Outcome, out: &mut Vec<ConnectionRecord>) {
        self.arrival_by_id.remove(&queue.id);
        self.records -= queue.records.len();
        self.telemetry.count_released(outcome, queue.records.len() as u64);
        let watermark = self.watermark;
        out.extend(queue.records.into_iter().map(|mut record| {
            if let Some(watermark) = watermark.filter(|watermark| record.tick <= *watermark) {
                record.tick = UnixNanos(watermark.0.saturating_add(1));
            }
            record
        }));
    }

    fn account(&self) {
        self.node.set_held(self.records as u64);
    }
}

#[cfg(test)]
mod tests;
