//! Records that wait a little for a name that is on its way.
//!
//! Invariants, each with a test:
//! - What goes in comes out, once; the records of one connection in the order in which they came.
//! - A connection waits once: all its records go at the first watermark at which the first has waited for the whole `hold`, if not
//!   before. The processor then lets it pass.
//! - A record that leaves after its window's watermark is given the open window's time, so that it is not late: a nanosecond behind the
//!   last watermark that was passed on.
//! - At most [`MAX_HELD`] records wait. What finds no room is not held; where it belongs behind others of its connection, the connection
//!   that has waited longest makes room.
//!
//! A processor runs only when it is given a batch, so records leave with the next batch or watermark after the answer came.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use longwave_config::GoDuration;
use longwave_pipeline::component::{Node, Problems, ProcessorContext};
use longwave_pipeline::model::{Batch, ConnectionId, ConnectionRecord, UnixNanos};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;

/// Records that may wait (about 6 MB).
pub(crate) const MAX_HELD: usize = 16_384;
/// The longest `hold`: who waits longer reports the past.
const LONGEST: Duration = Duration::from_secs(60);
/// Records in a batch.
const BATCH: usize = 1024;

/// Connections whose records wait.
pub(crate) struct Hold {
    /// Nanoseconds; 0: nothing waits.
    patience: u64,
    most: usize,
    /// By the arrival of their first record.
    queues: BTreeMap<u64, Queue>,
    by_id: HashMap<ConnectionId, u64, foldhash::fast::RandomState>,
    arrivals: u64,
    records: usize,
    /// The last watermark that was passed on.
    passed: Option<UnixNanos>,
    node: Arc<Node>,
    telemetry: Telemetry,
}

/// What became of an attempt to let a record wait.
#[derive(Debug, PartialEq)]
pub(crate) enum Offered {
    /// It waits.
    Waits,
    /// There is no room: it passes now.
    Refused,
}

/// One connection's records, in order; never empty.
struct Queue {
    id: ConnectionId,
    /// From when on the first waits, by the records' clock.
    since: UnixNanos,
    records: Vec<ConnectionRecord>,
}

struct Telemetry {
    released: Counter<u64>,
    refused: Counter<u64>,
    resolved: Vec<KeyValue>,
    unresolved: Vec<KeyValue>,
    own: Vec<KeyValue>,
}

/// Why records leave.
#[derive(Clone, Copy)]
enum Outcome {
    Resolved,
    Unresolved,
    NoRoom,
}

/// Says what is wrong with the setting `hold`.
pub(crate) fn check_setting(hold: GoDuration, problems: &mut Problems) {
    if hold.get() > LONGEST {
        let text = format!(
            "{hold} is too long (at most 1m): what waits is reported in a later window than it belongs to; use the receiver's interval, \
             for example 5s, or 0s to let nothing wait"
        );
        problems.at("hold", text);
    }
}

/// Puts records onto `out`, in batches of the usual size.
pub(crate) fn push_batches(mut records: Vec<ConnectionRecord>, out: &mut Vec<Batch>) {
    while records.len() > BATCH {
        let rest = records.split_off(BATCH);
        out.push(Batch::records(std::mem::replace(&mut records, rest)));
    }
    if !records.is_empty() {
        out.push(Batch::records(records));
    }
}

// === impl Hold ===

impl Hold {
    /// Nothing waits yet. `patience`: the setting `hold`; 0 switches it off.
    pub fn new(context: &ProcessorContext, patience: Duration) -> Self {
        Self {
            patience: u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX),
            most: MAX_HELD,
            queues: BTreeMap::new(),
            by_id: HashMap::default(),
            arrivals: 0,
            records: 0,
            passed: None,
            node: Arc::clone(&context.node),
            telemetry: Telemetry::new(context),
        }
    }

    /// With room for so many records.
    #[cfg(test)]
    pub fn with_room(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// Records may wait at all.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.patience > 0
    }

    /// Nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Records of the connection wait: later ones have to be pushed behind them.
    pub fn holds(&self, id: ConnectionId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Lets a record wait, as the connection's first or behind its others. Who has to make room for it goes onto `out`: before the record
    /// itself, which may be refused then because its own connection had to.
    pub fn push(&mut self, record: &ConnectionRecord, out: &mut Vec<ConnectionRecord>) -> Offered {
        let is_first = !self.holds(record.id);
        if self.records >= self.most {
            if is_first {
                self.telemetry.refused.add(1, &self.telemetry.own);
                return Offered::Refused;
            }
            if let Some((_, oldest)) = self.queues.pop_first() {
                let own = oldest.id == record.id;
                self.leave(oldest, Outcome::NoRoom, out);
                if own {
                    self.telemetry.refused.add(1, &self.telemetry.own);
                    self.note();
                    return Offered::Refused;
                }
            }
        }
        if is_first {
            self.arrivals += 1;
            self.by_id.insert(record.id, self.arrivals);
            let passed = self.passed.unwrap_or_default();
            let since = record.observed.max(passed).min(record.tick.max(passed));
            let queue = Queue { id: record.id, since, records: vec![record.clone()] };
            self.queues.insert(self.arrivals, queue);
        } else if let Some(queue) =
            self.by_id.get(&record.id).and_then(|arrival| self.queues.get_mut(arrival))
        {
            queue.records.push(record.clone());
        }
        self.records += 1;
        self.note();
        Offered::Waits
    }

    /// Lets those connections go of whose first record `settled` says that it need not wait any more.
    pub fn release(
        &mut self,
        out: &mut Vec<ConnectionRecord>,
        mut settled: impl FnMut(&ConnectionRecord) -> bool,
    ) {
        self.take(Outcome::Resolved, out, |queue| queue.records.first().is_none_or(&mut settled));
    }

    /// Lets those connections go that have waited long enough when the watermark `tick` comes: before it is passed on.
    pub fn release_overdue(&mut self, tick: UnixNanos, out: &mut Vec<ConnectionRecord>) {
        let patience = self.patience;
        self.take(Outcome::Unresolved, out, |queue| queue.since.0.saturating_add(patience) <= tick.0);
    }

    /// Lets all go: nothing follows.
    pub fn release_all(&mut self, out: &mut Vec<ConnectionRecord>) {
        self.take(Outcome::Unresolved, out, |_| true);
    }

    /// The watermark `tick` was passed on: windows up to it are closed.
    pub fn passed(&mut self, tick: UnixNanos) {
        self.passed = Some(self.passed.map_or(tick, |passed| passed.max(tick)));
    }

    fn take(
        &mut self,
        outcome: Outcome,
        out: &mut Vec<ConnectionRecord>,
        mut which: impl FnMut(&Queue) -> bool,
    ) {
        if self.is_empty() {
            return;
        }
        let taken: Vec<_> = self.queues.extract_if(.., |_, queue| which(queue)).collect();
        for (_, queue) in taken {
            self.leave(queue, outcome, out);
        }
        if self.is_empty() {
            // A burst must not keep its memory.
            self.by_id = HashMap::default();
        }
        self.note();
    }

    fn leave(&mut self, queue: Queue, outcome: Outcome, out: &mut Vec<ConnectionRecord>) {
        self.by_id.remove(&queue.id);
        self.records -= queue.records.len();
        self.telemetry.left(outcome, queue.records.len() as u64);
        let passed = self.passed;
        out.extend(queue.records.into_iter().map(|mut record| {
            if let Some(passed) = passed.filter(|passed| record.tick <= *passed) {
                record.tick = UnixNanos(passed.0.saturating_add(1));
            }
            record
        }));
    }

    fn note(&self) {
        self.node.set_held(self.records as u64);
    }
}

// === impl Telemetry ===

impl Telemetry {
    fn new(context: &ProcessorContext) -> Self {
        let own = vec![
            KeyValue::new("processor", context.id.clone()),
            KeyValue::new("pipeline", context.pipeline.clone()),
        ];
        let with = |outcome: &'static str| {
            let mut attributes = own.clone();
            attributes.push(KeyValue::new("outcome", outcome));
            attributes
        };
        let counter = |name: &'static str, text: &'static str| {
            context.meter.u64_counter(name).with_unit("{record}").with_description(text).build()
        };
        Self {
            released: counter(
                "longwave_processor_hold_released_records",
                "Records that waited for a name: it came (resolved), or they went without it (unresolved).",
            ),
            refused: counter(
                "longwave_processor_hold_refused_records",
                "Records that went without waiting for a name, or before their time, because too many wait.",
            ),
            resolved: with("resolved"),
            unresolved: with("unresolved"),
            own,
        }
    }

    fn left(&self, outcome: Outcome, records: u64) {
        match outcome {
            Outcome::Resolved => self.released.add(records, &self.resolved),
            Outcome::Unresolved => self.released.add(records, &self.unresolved),
            Outcome::NoRoom => {
                self.released.add(records, &self.unresolved);
                self.refused.add(records, &self.own);
            }
        }
    }
}

#[cfg(test)]
#[path = "hold_tests.rs"]
mod tests;
