//! Where a receiver sends its records: into every pipeline that it feeds.

use std::sync::{Arc, Mutex, PoisonError};

use longwave_config::Signal;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::component::accounting::{Accounting, DropReason, Node, NodeKind};
use crate::model::ConnectionRecord;
use crate::model::{Batch, PassEnd};

/// A receiver's edge into each of its pipelines. Never blocks unless asked to ([`RecordOutput::send`]).
pub struct RecordOutput {
    consumers: Vec<Consumer>,
}

struct Consumer {
    node: Arc<Node>,
    sender: Sender<Batch>,
    /// A watermark that found no room; it goes before whatever comes next.
    pending: Mutex<Option<PassEnd>>,
}

/// What became of a batch of updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// Every pipeline has it.
    All,
    /// No pipeline has it, since one had no room: its content has to come again with a later batch.
    None,
}

// === impl RecordOutput ===

impl RecordOutput {
    /// From the pipelines' edges.
    pub fn new(edges: Vec<(Arc<Node>, Sender<Batch>)>) -> Self {
        let consumers =
            edges.into_iter().map(|(node, sender)| Consumer { node, sender, pending: Mutex::new(None) });
        Self { consumers: consumers.collect() }
    }

    /// One edge with room for `capacity` batches, and its far end: for tests and benches of receivers.
    pub fn pair(capacity: usize) -> (Self, Receiver<Batch>) {
        let (sender, receiver) = channel(capacity);
        let node = Accounting::default().node(NodeKind::Receiver, "test", "logs", Signal::Logs, false);
        (Self::new(vec![(node, sender)]), receiver)
    }

    /// Offers updates to all pipelines or to none, so that the next deltas start from what everybody has. What is refused is not lost
    /// (totals heal with the next update) but counted as refused.
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

    /// Refuses updates on behalf of all pipelines, since something that must go before them found no room: counted as deferred.
    pub fn defer_updates(&self, records: &[ConnectionRecord]) {
        for consumer in &self.consumers {
            consumer.node.add_incoming(records.len() as u64);
            consumer.node.add_dropped(DropReason::DEFERRED, records.len() as u64, 0);
        }
    }

    /// Every pipeline that still runs would take a batch now. Stays true until something is sent: there is one sender.
    pub fn has_room(&self) -> bool {
        let roomy = |consumer: &Consumer| {
            consumer.sender.is_closed() || consumer.sender.capacity() > usize::from(consumer.has_pending())
        };
        self.consumers.iter().all(roomy)
    }

    /// Gives events that will not come again (opens and ends) to every pipeline that has room; where one has none, they are dropped and counted.
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

    /// Sends the watermark; where there is no room it goes before whatever comes next.
    pub fn pass_end(&self, pass_end: PassEnd) {
        for consumer in &self.consumers {
            if consumer.try_send(Batch::PassEnd(pass_end)).is_err() {
                consumer.set_pending(Some(pass_end));
            }
        }
    }

    /// Sends a batch to every pipeline and waits for room: for receivers that can wait (a file). False if no pipeline is left.
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

    /// Waits until every pipeline has room for one more batch, or has ended: for receivers that can wait a little before they offer or give.
    pub async fn room(&self) {
        for consumer in &self.consumers {
            let slots = 1 + usize::from(consumer.has_pending());
            let _ = consumer.sender.reserve_many(slots).await;
        }
    }

    /// Waits until every pending watermark was sent: what a receiver calls last.
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
