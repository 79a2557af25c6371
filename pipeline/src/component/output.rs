//! [`RecordOutput`]: sends the records of a receiver to its pipelines.

use std::sync::{Arc, Mutex, PoisonError};

use longwave_config::Signal;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::component::accounting::{Accounting, DropReason, Node, NodeKind};
use crate::model::ConnectionRecord;
use crate::model::{Batch, PassEnd};

/// Sends the records of a receiver to each of its pipelines. Only the `async` methods wait for room.
pub struct RecordOutput {
    consumers: Vec<Consumer>,
}

struct Consumer {
    node: Arc<Node>,
    sender: Sender<Batch>,
    /// A watermark for which there was no room. It is sent before the next batch.
    pending: Mutex<Option<PassEnd>>,
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
    /// Makes the output from the counters and the channel of each pipeline.
    pub fn new(edges: Vec<(Arc<Node>, Sender<Batch>)>) -> Self {
        let consumers =
            edges.into_iter().map(|(node, sender)| Consumer { node, sender, pending: Mutex::new(None) });
        Self { consumers: consumers.collect() }
    }

    /// Makes an output to one channel of `capacity` batches, and returns the channel's receiver. For tests and benches of receivers.
    pub fn pair(capacity: usize) -> (Self, Receiver<Batch>) {
        let (sender, receiver) = channel(capacity);
        let node = Accounting::default().node(NodeKind::Receiver, "test", "logs", Signal::Logs, false);
        (Self::new(vec![(node, sender)]), receiver)
    }

    /// Offers updates to all pipelines or to none, so that the next deltas have the same base in all pipelines.
    ///
    /// Refused updates are counted as deferred. Nothing is lost, because the next update contains their deltas.
    pub fn offer_updates(&self, records: Vec<ConnectionRecord>) -> Delivered {
        if records.is_empty() {
            return Delivered::All;
        }
        let (mut permits, mut ended) = (Vec::with_capacity(self.consumers.len()), Vec::new());
        for consumer in &self.consumers {
            let slots = 1 + usize::from(consumer.has_pending());
            match consumer.sender.try_reserve_many(slots) {
                Ok(permit) => permits.push((consumer, permit)),
                Err(TrySendError::Full(())) => {
                    consumer.node.add_incoming(records.len() as u64);
                    consumer.node.add_dropped(DropReason::DEFERRED, records.len() as u64, 0);
                    return Delivered::None;
                }
                Err(TrySendError::Closed(())) => ended.push(consumer),
            }
        }
        let items = records.len() as u64;
        let batch = Batch::records(records);
        for consumer in ended {
            consumer.node.add_incoming(items);
            consumer.node.drop_batch(DropReason::STAGE_ENDED, &batch);
        }
        for (consumer, mut permit) in permits {
            if let Some(pass_end) = consumer.take_pending()
                && let Some(slot) = permit.next()
            {
                slot.send(Batch::PassEnd(pass_end));
            }
            if let Some(slot) = permit.next() {
                consumer.node.add_incoming(items);
                consumer.node.add_outgoing(items);
                slot.send(batch.clone());
            }
        }
        Delivered::All
    }

    /// Counts updates as deferred in all pipelines, because there is no room for records that must precede them.
    pub fn defer_updates(&self, records: &[ConnectionRecord]) {
        for consumer in &self.consumers {
            consumer.node.add_incoming(records.len() as u64);
            consumer.node.add_dropped(DropReason::DEFERRED, records.len() as u64, 0);
        }
    }

    /// Whether every running pipeline has room for a batch. Stays true until the next batch is sent, because there is one sender.
    pub fn has_room(&self) -> bool {
        let has_room = |consumer: &Consumer| {
            consumer.sender.is_closed() || consumer.sender.capacity() > usize::from(consumer.has_pending())
        };
        self.consumers.iter().all(has_room)
    }

    /// Sends events that are not repeated (opens and closes) to every pipeline. A pipeline without room drops and counts them.
    pub fn give_events(&self, records: Vec<ConnectionRecord>) {
        if records.is_empty() {
            return;
        }
        let batch = Batch::records(records);
        for consumer in &self.consumers {
            consumer.node.add_incoming(batch.items());
            match consumer.try_send(batch.clone()) {
                Ok(()) => consumer.node.add_outgoing(batch.items()),
                Err(TrySendError::Full(_)) => consumer.node.drop_batch(DropReason::QUEUE_FULL, &batch),
                Err(TrySendError::Closed(_)) => consumer.node.drop_batch(DropReason::STAGE_ENDED, &batch),
            }
        }
    }

    /// Sends the watermark. Where there is no room, it is sent before the next batch.
    pub fn pass_end(&self, pass_end: PassEnd) {
        for consumer in &self.consumers {
            if consumer.try_send(Batch::PassEnd(pass_end)).is_err() {
                consumer.set_pending(Some(pass_end));
            }
        }
    }

    /// Sends a batch to every pipeline and waits for room, for receivers that can wait (a file). Returns false if all pipelines have ended.
    pub async fn send(&self, batch: Batch) -> bool {
        let mut alive = false;
        for consumer in &self.consumers {
            if let Some(pass_end) = consumer.take_pending() {
                let _ = consumer.sender.send(Batch::PassEnd(pass_end)).await;
            }
            consumer.node.add_incoming(batch.items());
            if consumer.sender.send(batch.clone()).await.is_ok() {
                consumer.node.add_outgoing(batch.items());
                alive = true;
            } else {
                consumer.node.drop_batch(DropReason::STAGE_ENDED, &batch);
            }
        }
        alive
    }

    /// Waits until every pipeline has room for one more batch or has ended, for receivers that can wait before they send.
    pub async fn room(&self) {
        for consumer in &self.consumers {
            let slots = 1 + usize::from(consumer.has_pending());
            let _ = consumer.sender.reserve_many(slots).await;
        }
    }

    /// Sends every pending watermark, and waits for room. A receiver calls this last.
    pub async fn flush(&self) {
        for consumer in &self.consumers {
            if let Some(pass_end) = consumer.take_pending() {
                let _ = consumer.sender.send(Batch::PassEnd(pass_end)).await;
            }
        }
    }
}

// === impl Consumer ===

impl Consumer {
    fn try_send(&self, batch: Batch) -> Result<(), TrySendError<Batch>> {
        if let Some(pass_end) = self.take_pending()
            && let Err(error) = self.sender.try_send(Batch::PassEnd(pass_end))
        {
            self.set_pending(Some(pass_end));
            return Err(error);
        }
        self.sender.try_send(batch)
    }

    fn has_pending(&self) -> bool {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn take_pending(&self) -> Option<PassEnd> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set_pending(&self, pass_end: Option<PassEnd>) {
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner) = pass_end;
    }
}

#[cfg(test)]
mod tests;
