//! [`RecordOutput`]: sends the records of a receiver to its pipelines.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use longwave_config::Signal;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, channel};

use crate::component::accounting::{Accounting, DropReason, Node, NodeKind};
use crate::component::stage_sender::StageSender;
use crate::model::ConnectionRecord;
use crate::model::{Batch, PassEnd};

/// Sends the records of a receiver to each of its pipelines. Only the `async` methods wait for room.
///
/// A reload may replace pipelines between two batches. Each pipeline receives each batch once: either the old or the new one of its id.
pub struct RecordOutput {
    edges: Arc<Edges>,
}

/// Changes the pipelines of a [`RecordOutput`]. Does not keep them from ending.
#[derive(Clone)]
pub(crate) struct OutputHandle(Weak<Edges>);

/// The edges to the pipelines. The list is replaced as a whole.
type Edges = RwLock<Arc<[Arc<Edge>]>>;

/// The edge from the receiver to a pipeline.
struct Edge {
    node: Arc<Node>,
    state: Mutex<EdgeState>,
}

struct EdgeState {
    /// First stage of the pipeline. `None` if the receiver no longer sends to it.
    sender: Option<StageSender>,
    /// A watermark for which there was no room. It is sent before the next batch.
    pending: Option<PassEnd>,
    /// Whether the pipeline has other receivers after this one has ended.
    continues: bool,
}

/// An edge and its pipeline at one moment.
struct Consumer {
    edge: Arc<Edge>,
    sender: StageSender,
}

/// Result of [`RecordOutput::offer_updates`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// All pipelines received the batch.
    All,
    /// No pipeline received the batch, because one had no room. Later records must contain its deltas.
    None,
}

// === impl RecordOutput ===

impl RecordOutput {
    /// Makes the output from the counters and the first stage of each pipeline. The pipelines of the counters are distinct.
    pub fn new(edges: Vec<(Arc<Node>, StageSender)>) -> Self {
        let edges = edges.into_iter().map(|(node, sender)| Arc::new(Edge::new(node, sender)));
        Self { edges: Arc::new(RwLock::new(edges.collect())) }
    }

    /// Makes an output to one channel of `capacity` batches, and returns the channel's receiver. For tests and benches of receivers.
    pub fn pair(capacity: usize) -> (Self, Receiver<Batch>) {
        let (sender, receiver) = channel(capacity);
        let accounting = Accounting::default();
        let node = accounting.node(NodeKind::Receiver, "test", "logs", Signal::Logs, false);
        let stage = accounting.node(NodeKind::Passage, "", "logs", Signal::Logs, false);
        (Self::new(vec![(node, StageSender::new(sender, stage))]), receiver)
    }

    pub(crate) fn handle(&self) -> OutputHandle {
        OutputHandle(Arc::downgrade(&self.edges))
    }

    /// Offers updates to all pipelines or to none, so that the next deltas have the same base in all pipelines.
    ///
    /// Refused updates are counted as deferred. Nothing is lost, because the next update contains their deltas.
    pub fn offer_updates(&self, records: Vec<ConnectionRecord>) -> Delivered {
        if records.is_empty() {
            return Delivered::All;
        }
        let consumers = self.consumers();
        let (mut permits, mut ended) = (Vec::with_capacity(consumers.len()), Vec::new());
        for consumer in &consumers {
            let slots = 1 + usize::from(consumer.edge.has_pending());
            match consumer.sender.channel().try_reserve_many(slots) {
                Ok(permit) => permits.push((consumer, permit)),
                Err(TrySendError::Full(())) => {
                    consumer.edge.node.add_incoming(records.len() as u64);
                    consumer.edge.node.add_dropped(DropReason::DEFERRED, records.len() as u64, 0);
                    return Delivered::None;
                }
                Err(TrySendError::Closed(())) => ended.push(consumer),
            }
        }
        let items = records.len() as u64;
        let batch = Batch::records(records);
        for Consumer { edge, .. } in ended {
            edge.node.add_incoming(items);
            edge.node.drop_batch(DropReason::STAGE_ENDED, &batch);
        }
        for (Consumer { edge, sender }, mut permit) in permits {
            if let Some(pass_end) = edge.take_pending()
                && let Some(slot) = permit.next()
            {
                sender.send_with(slot, Batch::PassEnd(pass_end));
            }
            if let Some(slot) = permit.next() {
                edge.node.add_incoming(items);
                edge.node.add_outgoing(items);
                sender.send_with(slot, batch.clone());
            }
        }
        Delivered::All
    }

    /// Counts updates as deferred in all pipelines, because there is no room for records that must precede them.
    pub fn defer_updates(&self, records: &[ConnectionRecord]) {
        for Consumer { edge, .. } in self.consumers() {
            edge.node.add_incoming(records.len() as u64);
            edge.node.add_dropped(DropReason::DEFERRED, records.len() as u64, 0);
        }
    }

    /// Whether every running pipeline has room for a batch. Stays true until the next batch is sent, because there is one sender.
    pub fn has_room(&self) -> bool {
        let has_room = |Consumer { edge, sender }: &Consumer| {
            let channel = sender.channel();
            channel.is_closed() || channel.capacity() > usize::from(edge.has_pending())
        };
        self.consumers().iter().all(has_room)
    }

    /// Sends events that are not repeated (opens and closes) to every pipeline. A pipeline without room drops and counts them.
    pub fn give_events(&self, records: Vec<ConnectionRecord>) {
        if records.is_empty() {
            return;
        }
        let batch = Batch::records(records);
        for consumer in self.consumers() {
            let node = &consumer.edge.node;
            node.add_incoming(batch.items());
            match consumer.try_send(batch.clone()) {
                Ok(()) => node.add_outgoing(batch.items()),
                Err(TrySendError::Full(_)) => node.drop_batch(DropReason::QUEUE_FULL, &batch),
                Err(TrySendError::Closed(_)) => node.drop_batch(DropReason::STAGE_ENDED, &batch),
            }
        }
    }

    /// Sends the watermark. Where there is no room, it is sent before the next batch.
    pub fn pass_end(&self, pass_end: PassEnd) {
        for consumer in self.consumers() {
            // After a reload another receiver sends the next watermark of the pipeline.
            let last = pass_end.last && !consumer.edge.state().continues;
            let pass_end = PassEnd { last, ..pass_end };
            if consumer.try_send(Batch::PassEnd(pass_end)).is_err() {
                consumer.edge.state().pending = Some(pass_end);
            }
        }
    }

    /// Sends a batch to every pipeline and waits for room, for receivers that can wait (a file). Returns false if all pipelines have ended.
    pub async fn send(&self, batch: Batch) -> bool {
        let mut alive = false;
        for edge in self.list().iter() {
            // Only the sender to this pipeline is kept while it has no room: another pipeline that a reload has removed has to end.
            let Some(sender) = edge.sender() else { continue };
            edge.send_pending(&sender).await;
            edge.node.add_incoming(batch.items());
            if sender.send(batch.clone()).await.is_ok() {
                edge.node.add_outgoing(batch.items());
                alive = true;
            } else {
                edge.node.drop_batch(DropReason::STAGE_ENDED, &batch);
            }
        }
        alive
    }

    /// Returns how many batches wait in the channel of a pipeline: the largest number of all pipelines.
    pub fn queued(&self) -> usize {
        let queued = |Consumer { sender, .. }: &Consumer| {
            let channel = sender.channel();
            if channel.is_closed() { 0 } else { channel.max_capacity() - channel.capacity() }
        };
        self.consumers().iter().map(queued).max().unwrap_or_default()
    }

    /// Waits until at most `queued` batches wait in the channel of every pipeline, and there is room for one more, or the pipeline has ended.
    /// For receivers that can wait before they send.
    pub async fn room(&self, queued: usize) {
        for edge in self.list().iter() {
            let Some(sender) = edge.sender() else { continue };
            let channel = sender.channel();
            let slots = channel.max_capacity().saturating_sub(queued);
            let _ = channel.reserve_many(slots.max(1 + usize::from(edge.has_pending()))).await;
        }
    }

    /// Sends every pending watermark, and waits for room. A receiver calls this last.
    pub async fn flush(&self) {
        for edge in self.list().iter() {
            if let Some(sender) = edge.sender() {
                edge.send_pending(&sender).await;
            }
        }
    }

    fn list(&self) -> Arc<[Arc<Edge>]> {
        Arc::clone(&self.edges.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the pipelines at this moment. They do not end while the result exists.
    fn consumers(&self) -> Vec<Consumer> {
        let list = self.list();
        let consumer = |edge: &Arc<Edge>| Some(Consumer { sender: edge.sender()?, edge: Arc::clone(edge) });
        list.iter().filter_map(consumer).collect()
    }
}

// === impl OutputHandle ===

impl OutputHandle {
    /// Replaces the pipelines, from the next batch on. A pipeline is recognized by that of its counters. Has no effect if the receiver has
    /// ended.
    pub(crate) fn set(&self, edges: Vec<(Arc<Node>, StageSender)>) {
        let Some(current) = self.0.upgrade() else { return };
        let mut list = current.write().unwrap_or_else(PoisonError::into_inner);
        let mut removed: Vec<_> = list.to_vec();
        let replaced = edges.into_iter().map(|(node, sender)| {
            match removed.iter().position(|edge| edge.node.pipeline == node.pipeline) {
                Some(index) => {
                    let edge = removed.swap_remove(index);
                    edge.state().sender = Some(sender);
                    edge
                }
                None => Arc::new(Edge::new(node, sender)),
            }
        });
        *list = replaced.collect();
        for edge in removed {
            *edge.state() = EdgeState { sender: None, pending: None, continues: false };
        }
    }

    /// Declares that some pipelines continue without the receiver, which is about to stop.
    pub(crate) fn continues(&self, pipeline_continues: impl Fn(&str) -> bool) {
        let Some(edges) = self.0.upgrade() else { return };
        for edge in edges.read().unwrap_or_else(PoisonError::into_inner).iter() {
            edge.state().continues = pipeline_continues(&edge.node.pipeline);
        }
    }
}

// === impl Edge ===

impl Edge {
    fn new(node: Arc<Node>, sender: StageSender) -> Self {
        let state = EdgeState { sender: Some(sender), pending: None, continues: false };
        Self { node, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, EdgeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sender(&self) -> Option<StageSender> {
        self.state().sender.clone()
    }

    fn has_pending(&self) -> bool {
        self.state().pending.is_some()
    }

    fn take_pending(&self) -> Option<PassEnd> {
        self.state().pending.take()
    }

    async fn send_pending(&self, sender: &StageSender) {
        if let Some(pass_end) = self.take_pending() {
            let _ = sender.send(Batch::PassEnd(pass_end)).await;
        }
    }
}

// === impl Consumer ===

impl Consumer {
    fn try_send(&self, batch: Batch) -> Result<(), TrySendError<Batch>> {
        if let Some(pass_end) = self.edge.take_pending()
            && let Err(error) = self.sender.try_send(Batch::PassEnd(pass_end))
        {
            self.edge.state().pending = Some(pass_end);
            return Err(error);
        }
        self.sender.try_send(batch)
    }
}

#[cfg(test)]
mod tests;
