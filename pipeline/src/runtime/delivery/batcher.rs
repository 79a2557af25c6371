//! [`Batcher`]: merges requests before they are queued.
//!
//! Requests in protobuf are merged by appending one to the other: the result has the resources of both. So the bytes, the items and the traffic
//! of the merged request are the sums. Until a request is handed to the queue, its items count as `held`.

use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::component::host::memory_limit;
use crate::component::{BatchConfig, DropReason, Node, Payload, QueueConfig, Sizer};

/// Maximum size of a merged request in bytes. The encoders split requests at the same size.
const MAX_MERGED_BYTES: u64 = 2 << 20;

/// Minimum number of merged requests that fit into a queue.
const QUEUED_REQUESTS: u64 = 4;

/// Requests that wait to be merged into one.
pub(crate) struct Batcher {
    /// `None` if requests are not merged.
    config: Option<BatchConfig>,
    max_items: u64,
    max_bytes: u64,
    node: Arc<Node>,
    waiting: Vec<Bytes>,
    bytes: u64,
    items: u64,
    traffic_bytes: u64,
    /// Time at which the waiting requests have to leave. `None` if there are none.
    deadline: Option<Instant>,
}

// === impl Batcher ===

impl Batcher {
    /// Makes the batcher of a queue with these settings. Requests are not merged without a queue, and if the pipeline waits for each batch.
    pub(crate) fn new(queue: &QueueConfig, node: Arc<Node>) -> Self {
        let merges = queue.enabled && !queue.wait_for_result;
        let config = queue.batch.filter(|config| config.enabled && merges);
        let of_config = |max: fn(&BatchConfig) -> u64| config.as_ref().map_or(u64::MAX, max);
        // A merged request takes a part of the queue only: otherwise it would push out all others, or have no room at all.
        let of_queue =
            |sizer| if queue.sizer == sizer { queue.queue_size / QUEUED_REQUESTS } else { u64::MAX };
        let queue_bytes = queue.max_bytes(memory_limit(Path::new("/proc"))) / QUEUED_REQUESTS;
        let max_bytes = of_config(BatchConfig::max_bytes).min(of_queue(Sizer::Bytes));
        Self {
            config,
            max_items: of_config(BatchConfig::max_items).min(of_queue(Sizer::Items)),
            max_bytes: max_bytes.min(queue_bytes).min(MAX_MERGED_BYTES),
            node,
            waiting: Vec::new(),
            bytes: 0,
            items: 0,
            traffic_bytes: 0,
            deadline: None,
        }
    }

    /// Adds requests. Returns the requests that are ready, in their order.
    pub(crate) fn add(&mut self, payloads: Vec<Payload>) -> Vec<Payload> {
        let Some(config) = self.config else { return payloads };
        let mut ready = Vec::new();
        for payload in payloads {
            if !self.has_room(&payload) {
                ready.extend(self.take());
            }
            self.deadline.get_or_insert_with(|| Instant::now() + config.flush_timeout.get());
            self.node.add_held(payload.items);
            self.bytes += payload.bytes.len() as u64;
            self.items += payload.items;
            self.traffic_bytes = self.traffic_bytes.saturating_add(payload.traffic_bytes);
            self.waiting.push(payload.bytes);
            if config.size(self.items, self.bytes) >= config.min_size {
                ready.extend(self.take());
            }
        }
        ready
    }

    /// Merges the waiting requests. `None` if there are none.
    pub(crate) fn take(&mut self) -> Option<Payload> {
        self.deadline.take()?;
        let bytes = match self.waiting.len() {
            1 => self.waiting.pop().unwrap_or_default(),
            _ => {
                let mut merged = BytesMut::with_capacity(self.bytes as usize);
                self.waiting.drain(..).for_each(|bytes| merged.extend_from_slice(&bytes));
                merged.freeze()
            }
        };
        let (items, traffic_bytes) =
            (std::mem::take(&mut self.items), std::mem::take(&mut self.traffic_bytes));
        self.bytes = 0;
        self.node.sub_held(items);
        Some(Payload { bytes, items, traffic_bytes })
    }

    /// Waits until the waiting requests have to leave. Never resolves if there are none.
    pub(crate) async fn due(&self) {
        match self.deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }

    fn has_room(&self, payload: &Payload) -> bool {
        let (items, bytes) = (self.items + payload.items, self.bytes + payload.bytes.len() as u64);
        items <= self.max_items && bytes <= self.max_bytes
    }
}

/// Counts waiting requests as dropped, because their queue no longer exists.
impl Drop for Batcher {
    fn drop(&mut self) {
        if let Some(left) = self.take() {
            self.node.add_dropped(DropReason::STAGE_ENDED, left.items, left.traffic_bytes);
        }
    }
}

#[cfg(test)]
mod tests;
