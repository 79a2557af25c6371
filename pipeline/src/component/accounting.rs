//! Counters of what every stage received, sent, dropped and contains.
//!
//! The runtime counts what enters and leaves a stage. While nothing is being processed, the counters of each stage balance:
//! - `incoming + restored = outgoing + folded + dropped + held + kept` for a stage that does not change the kind of its items (folded: points
//!   that became part of another series' points);
//! - `incoming = folded + dropped + held` for a stage that aggregates (records in, points out).
//!
//! Only an exporter with a storage has `restored` items, which an earlier instance has left there, and `kept` items, which it leaves there itself.
//!
//! [`Accounting::imbalances`] checks both.

mod drop_reason;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use longwave_config::Signal;

use crate::model::Batch;
pub use drop_reason::DropReason;

/// Kind of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeKind {
    /// The output of a receiver to one pipeline.
    Receiver,
    /// A processor of one pipeline.
    Processor,
    /// An exporter of one signal, which all pipelines of the signal share.
    Exporter,
    /// The stage of a pipeline without processors, which passes batches on to its exporters.
    Passage,
}

/// Counters of one stage. They continue when a reload replaces the stage by one with the same id.
#[derive(Debug)]
pub struct Node {
    /// Kind of the stage.
    pub kind: NodeKind,
    /// Id of the component.
    pub id: String,
    /// Id of the pipeline. Empty for exporters, because pipelines share them.
    pub pipeline: String,
    /// Signal of the pipeline.
    pub signal: Signal,
    /// Whether the stage sends items of another kind than it receives (points for records).
    pub aggregates: bool,
    incoming: AtomicU64,
    /// Number of items that earlier stages sent to this one. Equal to `incoming` while no item is in the channel.
    sent_to: AtomicU64,
    /// Whether `sent_to` is counted.
    has_senders: AtomicBool,
    outgoing: AtomicU64,
    folded: AtomicU64,
    held: AtomicU64,
    restored: AtomicU64,
    kept: AtomicU64,
    queue_size: AtomicU64,
    queue_capacity: AtomicU64,
    queue_bytes: AtomicU64,
    queue_bytes_capacity: AtomicU64,
    retries: AtomicU64,
    possible_duplicates: AtomicU64,
    dropped: Mutex<BTreeMap<DropReason, Dropped>>,
}

/// Number of items that were dropped for one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Number of records or points.
    pub items: u64,
    /// Traffic that these items reported, in sent plus received bytes.
    pub bytes: u64,
}

/// Counters of all stages that have run in this process.
#[derive(Clone, Default)]
pub struct Accounting {
    nodes: Arc<Mutex<Vec<Arc<Node>>>>,
}

/// A stage whose counters do not balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imbalance {
    /// Names the stage and its counters.
    pub text: String,
}

// === impl Node ===

impl Node {
    /// Counts items that entered the stage.
    pub fn add_incoming(&self, items: u64) {
        self.incoming.fetch_add(items, Ordering::Relaxed);
    }

    /// Counts items that were sent to the stage.
    pub(crate) fn add_sent_to(&self, items: u64) {
        self.sent_to.fetch_add(items, Ordering::Relaxed);
    }

    /// Declares that everything that is sent to the stage is counted.
    pub(crate) fn has_senders(&self) {
        self.has_senders.store(true, Ordering::Relaxed);
    }

    /// Counts items that were sent to the next stage or delivered.
    pub fn add_outgoing(&self, items: u64) {
        self.outgoing.fetch_add(items, Ordering::Relaxed);
    }

    /// Counts items that became part of an aggregate.
    pub fn add_folded(&self, items: u64) {
        self.folded.fetch_add(items, Ordering::Relaxed);
    }

    /// Sets the number of items in the stage.
    pub fn set_held(&self, items: u64) {
        self.held.store(items, Ordering::Relaxed);
    }

    /// Adds to the number of items in the stage.
    pub fn add_held(&self, items: u64) {
        self.held.fetch_add(items, Ordering::Relaxed);
    }

    /// Subtracts from the number of items in the stage.
    pub fn sub_held(&self, items: u64) {
        // A stage that failed has counted the items as dropped, also those of an earlier instance that a reload replaced.
        let subtract = |held: u64| Some(held.saturating_sub(items));
        let _ = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, subtract);
    }

    /// Counts items that an earlier instance has left in the storage and that are now in the stage.
    pub(crate) fn add_restored(&self, items: u64) {
        self.add_held(items);
        self.restored.fetch_add(items, Ordering::Relaxed);
    }

    /// Counts items that leave the stage, because the storage keeps them for a later instance.
    pub(crate) fn add_kept(&self, items: u64) {
        self.sub_held(items);
        self.kept.fetch_add(items, Ordering::Relaxed);
    }

    /// Returns the number of items that came from the storage.
    pub fn restored(&self) -> u64 {
        self.restored.load(Ordering::Relaxed)
    }

    /// Returns the number of items that stay in the storage for a later instance.
    pub fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// Changes what the sending queue contains, as (size in the unit of its sizer, bytes). During a reload there can be two queues, whose
    /// contents are added.
    pub(crate) fn change_queue_size(&self, from: (u64, u64), to: (u64, u64)) {
        change(&self.queue_size, from.0, to.0);
        change(&self.queue_bytes, from.1, to.1);
    }

    /// Changes the capacity of the sending queue, as (size in the unit of its sizer, bytes).
    pub(crate) fn change_queue_capacity(&self, from: (u64, u64), to: (u64, u64)) {
        change(&self.queue_capacity, from.0, to.0);
        change(&self.queue_bytes_capacity, from.1, to.1);
    }

    /// Counts items that were delivered after an attempt whose result is unknown.
    pub(crate) fn add_possible_duplicates(&self, items: u64) {
        self.possible_duplicates.fetch_add(items, Ordering::Relaxed);
    }

    /// Counts a delivery attempt after the first.
    pub(crate) fn add_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the size of what waits in the sending queue or is being delivered from it, in the unit of its sizer.
    pub fn queue_size(&self) -> u64 {
        self.queue_size.load(Ordering::Relaxed)
    }

    /// Returns the capacity of the sending queue, in the unit of its sizer.
    pub fn queue_capacity(&self) -> u64 {
        self.queue_capacity.load(Ordering::Relaxed)
    }

    /// Returns the bytes of what waits in the sending queue or is being delivered from it.
    pub fn queue_bytes(&self) -> u64 {
        self.queue_bytes.load(Ordering::Relaxed)
    }

    /// Returns the capacity of the sending queue in bytes.
    pub fn queue_bytes_capacity(&self) -> u64 {
        self.queue_bytes_capacity.load(Ordering::Relaxed)
    }

    /// Returns the number of items that were delivered after an attempt whose result is unknown. The server may have them twice.
    pub fn possible_duplicates(&self) -> u64 {
        self.possible_duplicates.load(Ordering::Relaxed)
    }

    /// Returns the number of delivery attempts after the first.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Counts dropped items. `bytes` is the traffic that they reported, in sent plus received bytes.
    pub fn add_dropped(&self, reason: DropReason, items: u64, bytes: u64) {
        if items == 0 {
            return;
        }
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = dropped.entry(reason).or_default();
        entry.items += items;
        entry.bytes = entry.bytes.saturating_add(bytes);
    }

    /// Counts all items of a batch as dropped.
    pub fn drop_batch(&self, reason: DropReason, batch: &Batch) {
        self.add_dropped(reason, batch.items(), batch.traffic_bytes());
    }

    /// Returns the number of items that entered the stage.
    pub fn incoming(&self) -> u64 {
        self.incoming.load(Ordering::Relaxed)
    }

    /// Returns the number of items that were sent or delivered.
    pub fn outgoing(&self) -> u64 {
        self.outgoing.load(Ordering::Relaxed)
    }

    /// Returns the number of items that became part of an aggregate.
    pub fn folded(&self) -> u64 {
        self.folded.load(Ordering::Relaxed)
    }

    /// Returns the number of items in the stage.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Declares a reason for which only this stage may drop items, so that its counters exist from the start.
    pub fn may_drop(&self, reason: DropReason) {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default();
    }

    /// Returns what was dropped, by reason.
    pub fn dropped(&self) -> Vec<(DropReason, Dropped)> {
        let mut dropped = self.dropped_by_reason();
        dropped.retain(|(_, count)| count.items > 0);
        dropped
    }

    /// Returns what was dropped, by every reason for which this stage may drop items.
    pub(crate) fn dropped_by_reason(&self) -> Vec<(DropReason, Dropped)> {
        let dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        dropped.iter().map(|(reason, count)| (*reason, *count)).collect()
    }

    /// Counts all items in a failed stage as dropped. Their traffic is unknown and counted as 0 bytes.
    pub(crate) fn drop_contents(&self) {
        let (left, dropped) = self.left_and_dropped();
        let entered = self.incoming() + self.restored();
        self.add_dropped(DropReason::STAGE_FAILED, entered.saturating_sub(left + dropped + self.kept()), 0);
        self.set_held(0);
    }

    /// Describes the stage: `processors::window of service::pipelines::metrics`.
    fn description(&self) -> String {
        let Self { kind, id, pipeline, signal, .. } = self;
        match kind {
            NodeKind::Receiver => format!("receivers::{id} to service::pipelines::{pipeline}"),
            NodeKind::Processor => format!("processors::{id} of service::pipelines::{pipeline}"),
            NodeKind::Exporter => format!("exporters::{id} of {signal}"),
            NodeKind::Passage => format!("service::pipelines::{pipeline}"),
        }
    }

    /// Returns the number of items that left the stage or became part of an aggregate, and the number of dropped items.
    fn left_and_dropped(&self) -> (u64, u64) {
        let dropped = self.dropped().iter().map(|(_, count)| count.items).sum();
        (if self.aggregates { self.folded() } else { self.outgoing() + self.folded() }, dropped)
    }

    fn imbalance(&self) -> Option<Imbalance> {
        let (left, dropped) = self.left_and_dropped();
        let (incoming, restored, held, kept) = (self.incoming(), self.restored(), self.held(), self.kept());
        (incoming + restored != left + dropped + held + kept).then(|| {
            let storage = |what: &str, items: u64| {
                if items == 0 { String::new() } else { format!(" + {what} {items}") }
            };
            let text = format!(
                "{}: incoming {incoming}{} ≠ {} {left} + dropped {dropped} + held {held}{}",
                self.description(),
                storage("restored", restored),
                if self.aggregates { "folded" } else { "outgoing" },
                storage("kept", kept),
            );
            Imbalance { text }
        })
    }
}

/// Replaces the part `from` of a sum by `to`.
fn change(sum: &AtomicU64, from: u64, to: u64) {
    sum.fetch_add(to.wrapping_sub(from), Ordering::Relaxed);
}

// === impl Accounting ===

impl Accounting {
    /// Returns the counters of a stage. The first call with a kind, id, pipeline and signal adds them, all at 0.
    pub fn node(
        &self,
        kind: NodeKind,
        id: &str,
        pipeline: &str,
        signal: Signal,
        aggregates: bool,
    ) -> Arc<Node> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |node: &&Arc<Node>| {
            node.kind == kind && node.id == id && node.pipeline == pipeline && node.signal == signal
        };
        if let Some(known) = nodes.iter().find(is_same) {
            return Arc::clone(known);
        }
        let reasons = DropReason::of_kind(kind).iter().map(|reason| (*reason, Dropped::default()));
        let node = Arc::new(Node {
            kind,
            id: id.to_owned(),
            pipeline: pipeline.to_owned(),
            signal,
            aggregates,
            incoming: AtomicU64::new(0),
            sent_to: AtomicU64::new(0),
            has_senders: AtomicBool::new(false),
            outgoing: AtomicU64::new(0),
            folded: AtomicU64::new(0),
            held: AtomicU64::new(0),
            restored: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            queue_size: AtomicU64::new(0),
            queue_capacity: AtomicU64::new(0),
            queue_bytes: AtomicU64::new(0),
            queue_bytes_capacity: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            possible_duplicates: AtomicU64::new(0),
            dropped: Mutex::new(reasons.collect()),
        });
        nodes.push(Arc::clone(&node));
        node
    }

    /// Returns the counters of all stages.
    pub fn nodes(&self) -> Vec<Arc<Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the stages whose counters do not balance, and those that did not receive as many items as were sent to them.
    ///
    /// Meaningful only while no item is in a channel and none is being processed.
    pub fn imbalances(&self) -> Vec<Imbalance> {
        let nodes = self.nodes();
        let arrivals = nodes.iter().filter_map(|node| {
            let (sent, incoming) = (node.sent_to.load(Ordering::Relaxed), node.incoming());
            (node.has_senders.load(Ordering::Relaxed) && sent != incoming).then(|| Imbalance {
                text: format!("{}: was sent {sent}, incoming {incoming}", node.description()),
            })
        });
        arrivals.chain(nodes.iter().filter_map(|node| node.imbalance())).collect()
    }
}
