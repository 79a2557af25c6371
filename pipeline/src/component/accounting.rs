//! What every stage consumed, produced, dropped and holds, counted outside the components.
//!
//! At any quiet moment each stage balances: `incoming = outgoing + dropped + held` where items keep their kind, and for a stage that
//! aggregates (`records` in, points out) `incoming = folded + dropped + held`. [`Accounting::imbalances`] checks it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use longwave_config::Signal;

use crate::model::Batch;

/// Why items were dropped; the value of the attribute `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DropReason(pub &'static str);

/// What kind of stage a [`Node`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeKind {
    /// A receiver's edge into one pipeline.
    Receiver,
    /// A processor of one pipeline.
    Processor,
    /// An exporter of one signal, shared by the signal's pipelines.
    Exporter,
}

/// Counters of one stage.
#[derive(Debug)]
pub struct Node {
    /// Kind of stage.
    pub kind: NodeKind,
    /// The component's id.
    pub id: String,
    /// The pipeline's id; for exporters empty, since pipelines share them.
    pub pipeline: String,
    /// Signal.
    pub signal: Signal,
    /// Items that leave are of another kind than those that enter (records → points).
    pub aggregates: bool,
    incoming: AtomicU64,
    outgoing: AtomicU64,
    folded: AtomicU64,
    held: AtomicU64,
    queue_size: AtomicU64,
    queue_capacity: AtomicU64,
    retries: AtomicU64,
    dropped: Mutex<BTreeMap<DropReason, Dropped>>,
}

/// What was dropped for one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Records or points.
    pub items: u64,
    /// Traffic bytes (sent + received) that those items told of.
    pub bytes: u64,
}

/// All stages of a running graph.
#[derive(Clone, Default)]
pub struct Accounting {
    nodes: Arc<Mutex<Vec<Arc<Node>>>>,
    edges: Arc<Mutex<Vec<Edge>>>,
}

/// What leaves `from` enters `to`.
struct Edge {
    from: Arc<Node>,
    to: Arc<Node>,
}

/// A stage whose counters do not add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imbalance {
    /// Which stage, and its counters.
    pub text: String,
}

// === impl DropReason ===

impl DropReason {
    /// The next stage's queue was full.
    pub const QUEUE_FULL: Self = Self("queue_full");
    /// An update found no room; its deltas come with the connection's next record, so that no bytes are lost.
    pub const DEFERRED: Self = Self("deferred");
    /// A filter's rules excluded it.
    pub const FILTERED: Self = Self("filtered");
    /// Retries ended: `max_elapsed_time` passed, or retrying is off.
    pub const RETRIES_EXHAUSTED: Self = Self("retries_exhausted");
    /// The server said that it will never accept it.
    pub const PERMANENT_ERROR: Self = Self("permanent_error");
    /// The server accepted the request and rejected these items (OTLP partial success).
    pub const REJECTED: Self = Self("rejected_by_server");
    /// Still undelivered when the shutdown's time was over.
    pub const SHUTDOWN: Self = Self("shutdown");
    /// It could not be encoded.
    pub const ENCODING: Self = Self("encoding");
    /// The stage that would take it has ended.
    pub const STAGE_ENDED: Self = Self("stage_ended");
    /// The stage that had it failed.
    pub const STAGE_FAILED: Self = Self("stage_failed");
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

// === impl Node ===

impl Node {
    /// Items came in.
    pub fn add_incoming(&self, items: u64) {
        self.incoming.fetch_add(items, Ordering::Relaxed);
    }

    /// Items left towards the next stage, or were delivered.
    pub fn add_outgoing(&self, items: u64) {
        self.outgoing.fetch_add(items, Ordering::Relaxed);
    }

    /// Incoming items became part of an aggregate.
    pub fn add_folded(&self, items: u64) {
        self.folded.fetch_add(items, Ordering::Relaxed);
    }

    /// Items that are inside the stage now.
    pub fn set_held(&self, items: u64) {
        self.held.store(items, Ordering::Relaxed);
    }

    /// More items are inside.
    pub fn add_held(&self, items: u64) {
        self.held.fetch_add(items, Ordering::Relaxed);
    }

    /// Items left the inside.
    pub fn sub_held(&self, items: u64) {
        self.held.fetch_sub(items, Ordering::Relaxed);
    }

    /// A request entered the sending queue.
    pub(crate) fn add_queued(&self) {
        self.queue_size.fetch_add(1, Ordering::Relaxed);
    }

    /// A request left the sending queue.
    pub(crate) fn sub_queued(&self) {
        self.queue_size.fetch_sub(1, Ordering::Relaxed);
    }

    /// The sending queue has room for this many requests.
    pub(crate) fn set_queue_capacity(&self, requests: u64) {
        self.queue_capacity.store(requests, Ordering::Relaxed);
    }

    /// Another delivery attempt is due.
    pub(crate) fn add_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests in the sending queue.
    pub fn queue_size(&self) -> u64 {
        self.queue_size.load(Ordering::Relaxed)
    }

    /// Room of the sending queue, in requests.
    pub fn queue_capacity(&self) -> u64 {
        self.queue_capacity.load(Ordering::Relaxed)
    }

    /// Delivery attempts after the first.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Items were dropped; `bytes` is the traffic that they told of.
    pub fn add_dropped(&self, reason: DropReason, items: u64, bytes: u64) {
        if items == 0 {
            return;
        }
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = dropped.entry(reason).or_default();
        entry.items += items;
        entry.bytes = entry.bytes.saturating_add(bytes);
    }

    /// The whole batch was dropped.
    pub fn drop_batch(&self, reason: DropReason, batch: &Batch) {
        self.add_dropped(reason, batch.items(), batch.traffic_bytes());
    }

    /// Items that came in.
    pub fn incoming(&self) -> u64 {
        self.incoming.load(Ordering::Relaxed)
    }

    /// Items that left.
    pub fn outgoing(&self) -> u64 {
        self.outgoing.load(Ordering::Relaxed)
    }

    /// Items that became part of an aggregate.
    pub fn folded(&self) -> u64 {
        self.folded.load(Ordering::Relaxed)
    }

    /// Items inside.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// What was dropped, by reason.
    pub fn dropped(&self) -> Vec<(DropReason, Dropped)> {
        let dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        dropped.iter().map(|(reason, count)| (*reason, *count)).collect()
    }

    /// The stage has failed: what came in and neither left nor was dropped is lost. How many bytes it told of, nobody knows any more.
    pub(crate) fn lose_inside(&self) {
        let (left, dropped) = self.gone();
        self.add_dropped(DropReason::STAGE_FAILED, self.incoming().saturating_sub(left + dropped), 0);
        self.set_held(0);
    }

    /// `Processor "window" of pipeline "metrics"`.
    fn what(&self) -> String {
        let Self { kind, id, pipeline, signal, .. } = self;
        match kind {
            NodeKind::Exporter => format!("{kind:?} {id:?} of {signal}"),
            _ => format!("{kind:?} {id:?} of pipeline {pipeline:?}"),
        }
    }

    /// What left or became part of an aggregate, and what was dropped.
    fn gone(&self) -> (u64, u64) {
        let dropped = self.dropped().iter().map(|(_, count)| count.items).sum();
        (if self.aggregates { self.folded() } else { self.outgoing() }, dropped)
    }

    fn imbalance(&self) -> Option<Imbalance> {
        let (left, dropped) = self.gone();
        (self.incoming() != left + dropped + self.held()).then(|| Imbalance {
            text: format!(
                "{}: incoming {} ≠ {} {left} + dropped {dropped} + held {}",
                self.what(),
                self.incoming(),
                if self.aggregates { "folded" } else { "outgoing" },
                self.held(),
            ),
        })
    }
}

// === impl Accounting ===

impl Accounting {
    /// A new stage's counters, at zero.
    pub fn node(
        &self,
        kind: NodeKind,
        id: &str,
        pipeline: &str,
        signal: Signal,
        aggregates: bool,
    ) -> Arc<Node> {
        let node = Arc::new(Node {
            kind,
            id: id.to_owned(),
            pipeline: pipeline.to_owned(),
            signal,
            aggregates,
            incoming: AtomicU64::new(0),
            outgoing: AtomicU64::new(0),
            folded: AtomicU64::new(0),
            held: AtomicU64::new(0),
            queue_size: AtomicU64::new(0),
            queue_capacity: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            dropped: Mutex::default(),
        });
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&node));
        node
    }

    /// Every stage.
    pub fn nodes(&self) -> Vec<Arc<Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says that everything that leaves `from` enters `to`.
    pub fn connect(&self, from: &Arc<Node>, to: &Arc<Node>) {
        let edge = Edge { from: Arc::clone(from), to: Arc::clone(to) };
        self.edges.lock().unwrap_or_else(PoisonError::into_inner).push(edge);
    }

    /// Stages that do not balance, and stages that did not get what was sent to them. Meaningful at a quiet moment only: nothing in a
    /// channel, nothing being processed.
    pub fn imbalances(&self) -> Vec<Imbalance> {
        let nodes = self.nodes();
        let edges = self.edges.lock().unwrap_or_else(PoisonError::into_inner);
        let arrivals = nodes.iter().filter_map(|to| {
            let mut senders = edges.iter().filter(|edge| Arc::ptr_eq(&edge.to, to)).peekable();
            senders.peek()?;
            let sent: u64 = senders.map(|edge| edge.from.outgoing()).sum();
            let incoming = to.incoming();
            (sent != incoming)
                .then(|| Imbalance { text: format!("{}: was sent {sent}, incoming {incoming}", to.what()) })
        });
        arrivals.chain(nodes.iter().filter_map(|node| node.imbalance())).collect()
    }
}
