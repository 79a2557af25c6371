//! [`DeliveryOrder`]: keeps the order of batches while several consumers deliver their payloads concurrently.
//!
//! A payload waits until no earlier batch has a pending payload. The payloads of one batch are delivered concurrently, because each series is
//! in one of them only.
//!
//! There is no deadlock. Consumers take payloads from the queue in order, so that each payload of the first batch has a consumer before a
//! payload of a later batch has. A payload leaves its batch whenever its [`Turn`] is dropped: after a delivery, a drop or a panic.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// The batches of one exporter that have pending payloads.
pub(super) struct DeliveryOrder {
    /// Number of pending payloads by number of the batch.
    pending: Mutex<BTreeMap<u64, u64>>,
    /// Number of the first batch in `pending`. Not changed when `pending` becomes empty, because then no payload waits.
    first: watch::Sender<u64>,
}

/// A payload's position in the order. The payload is pending until this is dropped.
pub(super) struct Turn {
    batch: u64,
    order: Arc<DeliveryOrder>,
}

// === impl DeliveryOrder ===

impl DeliveryOrder {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { pending: Mutex::default(), first: watch::Sender::new(0) })
    }

    /// Adds a payload. `batch` ascends from call to call.
    pub(super) fn add(self: &Arc<Self>, batch: u64) -> Turn {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        *pending.entry(batch).or_default() += 1;
        self.publish(&pending);
        Turn { batch, order: Arc::clone(self) }
    }

    fn remove(&self, batch: u64) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = pending.get_mut(&batch) {
            *count -= 1;
            if *count == 0 {
                pending.remove(&batch);
            }
        }
        self.publish(&pending);
    }

    fn publish(&self, pending: &BTreeMap<u64, u64>) {
        let Some((&batch, _)) = pending.first_key_value() else { return };
        self.first.send_if_modified(|first| std::mem::replace(first, batch) != batch);
    }
}

// === impl Turn ===

impl Turn {
    /// Waits until no payload of an earlier batch is pending.
    pub(super) async fn wait(&self) {
        // An error would mean that the sender was dropped, but `order` has it.
        let _ = self.order.first.subscribe().wait_for(|first| *first == self.batch).await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.order.remove(self.batch);
    }
}

#[cfg(test)]
mod tests;
