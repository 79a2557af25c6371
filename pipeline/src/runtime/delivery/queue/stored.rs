//! Methods of a [`SendingQueue`] with a storage.

use std::sync::Arc;

use super::super::bounded_queue::{BoundedQueue, QueuedPayload};
use super::super::payload_storage::{PayloadStorage, interrupted_open};
use super::{QUEUE_FULL, SendingQueue};
use crate::component::{ComponentError, DropReason, OpenedQueue, Payload};

const STORAGE_REMOVED: &str = "the storage removed the oldest requests, because it was full or they were older than max_age: the server is down, or slower than the traffic";

impl SendingQueue {
    /// Opens the storage, if there is one, and adds the payloads that an earlier instance of the exporter has left there. Waits until that
    /// instance has closed it.
    pub(crate) async fn open_storage(&mut self) -> Result<(), ComponentError> {
        let (Some(storage), Some(queue)) = (self.storage.take(), self.queue.clone()) else { return Ok(()) };
        let (id, signal) = (self.consumer.node.id.clone(), self.consumer.node.signal);
        let opened = tokio::task::spawn_blocking(move || storage.open(&id, signal)).await;
        let OpenedQueue { queue: stored, records, damaged: _ } = opened.map_err(interrupted_open)??;
        let node = Arc::clone(&self.consumer.node);
        DropReason::OF_STORAGE.into_iter().for_each(|reason| node.may_drop(reason));
        let items = records.iter().map(|record| record.items).sum();
        node.add_restored(items);
        if !records.is_empty() {
            let (exporter, requests) = (&node.id, records.len());
            tracing::info!(exporter, %signal, requests, items, "the storage has requests that were not sent before the last stop or reload; they are sent first");
        }
        // It is unset, because a queue is opened once.
        let _ = self.consumer.storage.set(PayloadStorage::new(stored));
        let mut restored = Vec::new();
        for record in records {
            // The requests of one window have the same tick.
            if self.batches == 0 || record.tick != self.tick {
                self.batches += 1;
                self.tick = record.tick;
            }
            let (items, traffic_bytes) = (record.items, record.traffic_bytes);
            let payload = Payload { bytes: Default::default(), items, traffic_bytes };
            let turn = self.order.as_ref().map(|order| order.add(self.batches));
            let (stored, batch) = (Some(record.key), self.batches);
            restored.push(QueuedPayload { payload, stored, batch, turn, wait: None, _done: None });
        }
        for oldest in queue.add_and_remove_oldest(restored) {
            self.consumer.drop_queued(&oldest, DropReason::QUEUE_FULL, QUEUE_FULL).await;
        }
        Ok(())
    }

    /// Stores a payload, if there is a storage, and adds it to the queue.
    pub(super) async fn store_and_add(&self, queue: &BoundedQueue, mut queued: QueuedPayload) {
        if let Some(storage) = self.consumer.storage.get() {
            match storage.append(&queued.payload, self.tick).await {
                Ok(key) => (queued.stored, queued.payload.bytes) = (Some(key), Default::default()),
                Err(error) => {
                    return self.consumer.drop_payload(&queued.payload, error.reason(), &error.to_string());
                }
            }
        }
        queue.add(queued);
    }

    /// Drops the waiting payloads that the storage has removed.
    pub(super) async fn drop_removed(&self) {
        let (Some(storage), Some(queue)) = (self.consumer.storage.get(), &self.queue) else { return };
        for (end, reason) in storage.removed().await {
            for removed in queue.remove_stored_before(end) {
                self.consumer.drop_queued(&removed, reason, STORAGE_REMOVED).await;
            }
        }
    }

    /// Makes the stored payloads permanent, and logs how many items they have.
    pub(super) async fn close_storage(&self) {
        let Some(storage) = self.consumer.storage.get() else { return };
        storage.sync().await;
        let node = &self.consumer.node;
        let (exporter, signal, items) = (&node.id, node.signal, node.kept());
        if items > 0 {
            tracing::info!(exporter, %signal, items, "the storage keeps what was not sent; it is sent after the next start");
        }
    }
}

#[cfg(test)]
mod tests;
