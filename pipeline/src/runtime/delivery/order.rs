//! [`DeliveryOrder`]: keeps the order of batches while several consumers deliver their payloads concurrently.
//!
//! A payload waits until its batch is the first one that has payloads left. The payloads of one batch are delivered concurrently, because
//! each series is in one of them only.
//!
//! There is no deadlock. Consumers take payloads from the queue in order, so that each payload of the first batch has a consumer before a
//! payload of a later batch has. A payload leaves its batch whenever its [`Turn`] is dropped: after a delivery, a drop or a panic.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// The batches of one exporter that have payloads left.
pub(super) struct DeliveryOrder {
    /// Number of payloads that are left of each batch.
    left: Mutex<BTreeMap<u64, u64>>,
    /// Number of the first batch in `left`. Not changed when `left` becomes empty, because then no payload waits.
    first: watch::Sender<u64>,
}

/// A payload's position in the order. The payload is left until this is dropped.
pub(super) struct Turn {
    batch: u64,
    order: Arc<DeliveryOrder>,
}

// === impl DeliveryOrder ===

impl DeliveryOrder {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { left: Mutex::default(), first: watch::Sender::new(0) })
    }

    /// Adds a payload. `batch` ascends from call to call.
    pub(super) fn add(self: &Arc<Self>, batch: u64) -> Turn {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left.entry(batch).or_default() += 1;
        self.publish(&left);
        Turn { batch, order: Arc::clone(self) }
    }

    fn remove(&self, batch: u64) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = left.get_mut(&batch) {
            *count -= 1;
            if *count == 0 {
                left.remove(&batch);
            }
        }
        self.publish(&left);
    }

    fn publish(&self, left: &BTreeMap<u64, u64>) {
        let Some((&batch, _)) = left.first_key_value() else { return };
        self.first.send_if_modified(|first| std::mem::replace(first, batch) != batch);
    }
}

// === impl Turn ===

impl Turn {
    /// Waits until no payload of an earlier batch is left.
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
