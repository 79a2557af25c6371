//! [`BoundedQueue`]: payloads that wait for a consumer or are being delivered.
//!
//! Invariant: the size of these payloads together, in the unit of the sizer, and their bytes are within the limits. As in the Collector, a
//! payload that is being delivered still counts, because its bytes are in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};

use super::export_phase::PhaseWait;
use super::order::Turn;
use crate::component::{Node, Payload, RecordKey, Sizer};

/// A queue with one producer and several consumers.
pub(super) struct BoundedQueue {
    limits: QueueLimits,
    node: Arc<Node>,
    contents: Mutex<QueueContents>,
    /// Notified when a payload is added, and when the queue is closed.
    added: Notify,
    /// Notified when a payload leaves.
    left: Notify,
}

/// Limits of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueLimits {
    pub(super) sizer: Sizer,
    /// In the unit of `sizer`.
    pub(super) size: u64,
    pub(super) bytes: u64,
}

/// A payload in the queue.
pub(super) struct QueuedPayload {
    /// The payload; without its bytes if they are stored.
    pub(super) payload: Payload,
    /// Key of the stored bytes. `None` if they are in memory.
    pub(super) stored: Option<RecordKey>,
    /// Number of its batch.
    pub(super) batch: u64,
    /// Position in the order of batches. `None` if the order does not matter.
    pub(super) turn: Option<Turn>,
    /// Wait before the first attempt. `None` if there is none.
    pub(super) wait: Option<PhaseWait>,
    /// Dropped with the payload. `None` if no stage waits for that.
    pub(super) _done: Option<mpsc::Sender<()>>,
}

/// A payload that a consumer delivers. It counts as part of the queue until this is dropped.
pub(super) struct TakenPayload {
    pub(super) queued: QueuedPayload,
    pub(super) _room: UsedRoom,
}

/// Room that a payload takes.
pub(super) struct UsedRoom {
    usage: QueueUsage,
    queue: Arc<BoundedQueue>,
}

struct QueueContents {
    waiting: VecDeque<QueuedPayload>,
    /// Usage by the payloads that wait and by those that are being delivered.
    used: QueueUsage,
    /// Usage that was last added to the node's gauges. Other queues may have added theirs.
    published: QueueUsage,
    closed: bool,
}

/// Size of payloads in the unit of the sizer, and in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct QueueUsage {
    size: u64,
    bytes: u64,
}

// === impl BoundedQueue ===

impl BoundedQueue {
    pub(super) fn new(limits: QueueLimits, node: Arc<Node>) -> Arc<Self> {
        node.change_queue_capacity((0, 0), (limits.size, limits.bytes));
        let (used, published) = (QueueUsage::default(), QueueUsage::default());
        let contents = QueueContents { waiting: VecDeque::new(), used, published, closed: false };
        Arc::new(Self {
            limits,
            node,
            contents: Mutex::new(contents),
            added: Notify::new(),
            left: Notify::new(),
        })
    }

    pub(super) fn limits(&self) -> QueueLimits {
        self.limits
    }

    /// Returns whether there is room for a payload now.
    pub(super) fn has_room(&self, payload: &Payload) -> bool {
        self.limits.allow(self.lock().used.plus(self.limits.usage(payload)))
    }

    /// Returns whether the queue would be more than half full with a payload.
    pub(super) fn is_half_full_with(&self, payload: &Payload) -> bool {
        let used = self.lock().used.plus(self.limits.usage(payload));
        !self.limits.allow(used.plus(used))
    }

    /// Waits until there is room for a payload.
    pub(super) async fn wait_for_room(&self, payload: &Payload) {
        while !self.has_room(payload) {
            // Stores one notification, so that none is missed between the check and the wait.
            self.left.notified().await;
        }
    }

    /// Adds a payload. The caller has checked that there is room.
    pub(super) fn add(&self, queued: QueuedPayload) {
        let mut contents = self.lock();
        contents.used = contents.used.plus(self.limits.usage_of(&queued));
        contents.waiting.push_back(queued);
        self.publish(&mut contents);
        drop(contents);
        self.added.notify_one();
    }

    /// Removes the oldest waiting payloads, as many as are necessary to make room for `payload`, from batches before `batch`. Removes none if
    /// that would not make enough room.
    pub(super) fn remove_oldest(&self, payload: &Payload, batch: u64) -> Vec<QueuedPayload> {
        let mut contents = self.lock();
        let mut used = contents.used.plus(self.limits.usage(payload));
        let mut count = 0;
        for oldest in contents.waiting.iter().take_while(|oldest| oldest.batch < batch) {
            if self.limits.allow(used) {
                break;
            }
            used = used.minus(self.limits.usage_of(oldest));
            count += 1;
        }
        if !self.limits.allow(used) {
            return Vec::new();
        }
        let removed: Vec<_> = contents.waiting.drain(..count).collect();
        self.forget(&mut contents, &removed);
        removed
    }

    /// Adds payloads, and removes the oldest waiting ones until the limits are met.
    pub(super) fn add_and_remove_oldest(&self, queued: Vec<QueuedPayload>) -> Vec<QueuedPayload> {
        let mut contents = self.lock();
        for queued in queued {
            contents.used = contents.used.plus(self.limits.usage_of(&queued));
            contents.waiting.push_back(queued);
        }
        let (mut used, mut count) = (contents.used, 0);
        for oldest in &contents.waiting {
            if self.limits.allow(used) {
                break;
            }
            used = used.minus(self.limits.usage_of(oldest));
            count += 1;
        }
        let removed: Vec<_> = contents.waiting.drain(..count).collect();
        self.forget(&mut contents, &removed);
        drop(contents);
        self.added.notify_one();
        removed
    }

    /// Removes the waiting payloads that are stored with a smaller sequence number.
    pub(super) fn remove_stored_before(&self, sequence: u64) -> Vec<QueuedPayload> {
        let mut contents = self.lock();
        let is_before = |queued: &QueuedPayload| queued.stored.is_some_and(|key| key.sequence < sequence);
        let count = contents.waiting.iter().take_while(|queued| is_before(queued)).count();
        let removed: Vec<_> = contents.waiting.drain(..count).collect();
        self.forget(&mut contents, &removed);
        removed
    }

    /// Waits for the next payload. `None` if the queue is closed and empty.
    pub(super) async fn take(self: &Arc<Self>) -> Option<TakenPayload> {
        loop {
            let added = self.added.notified();
            {
                let mut contents = self.lock();
                if let Some(queued) = contents.waiting.pop_front() {
                    if !contents.waiting.is_empty() || contents.closed {
                        // Several payloads may have been added with one notification.
                        self.added.notify_one();
                    }
                    let usage = self.limits.usage_of(&queued);
                    return Some(TakenPayload { queued, _room: UsedRoom { usage, queue: Arc::clone(self) } });
                }
                if contents.closed {
                    self.added.notify_one();
                    return None;
                }
            }
            added.await;
        }
    }

    /// Lets consumers end when the queue is empty.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.added.notify_one();
    }

    /// Removes all waiting payloads.
    pub(super) fn remove_all(&self) -> Vec<QueuedPayload> {
        let mut contents = self.lock();
        let removed: Vec<_> = contents.waiting.drain(..).collect();
        self.forget(&mut contents, &removed);
        removed
    }

    fn forget(&self, contents: &mut QueueContents, removed: &[QueuedPayload]) {
        for queued in removed {
            contents.used = contents.used.minus(self.limits.usage_of(queued));
        }
        // Frees the memory of a queue that was long during an outage.
        contents.waiting.shrink_to(MIN_CAPACITY.max(contents.waiting.len() * 2));
        self.publish(contents);
    }

    fn publish(&self, contents: &mut QueueContents) {
        let QueueUsage { size, bytes } = std::mem::replace(&mut contents.published, contents.used);
        self.node.change_queue_size((size, bytes), (contents.used.size, contents.used.bytes));
    }

    fn lock(&self) -> MutexGuard<'_, QueueContents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for BoundedQueue {
    fn drop(&mut self) {
        let QueueUsage { size, bytes } = self.lock().published;
        self.node.change_queue_size((size, bytes), (0, 0));
        self.node.change_queue_capacity((self.limits.size, self.limits.bytes), (0, 0));
    }
}

/// Number of payloads for which a queue keeps memory allocated.
const MIN_CAPACITY: usize = 64;

// === impl QueueLimits ===

impl QueueLimits {
    /// Returns whether the payload fits into an empty queue.
    pub(super) fn allow_alone(&self, payload: &Payload) -> bool {
        self.allow(self.usage(payload))
    }

    fn allow(&self, used: QueueUsage) -> bool {
        used.size <= self.size && used.bytes <= self.bytes
    }

    fn usage(&self, payload: &Payload) -> QueueUsage {
        self.usage_with(payload, payload.bytes.len() as u64)
    }

    fn usage_of(&self, queued: &QueuedPayload) -> QueueUsage {
        match queued.stored {
            Some(key) => self.usage_with(&queued.payload, key.len.into()),
            None => self.usage(&queued.payload),
        }
    }

    fn usage_with(&self, payload: &Payload, bytes: u64) -> QueueUsage {
        let size = match self.sizer {
            Sizer::Requests => 1,
            Sizer::Items => payload.items,
            Sizer::Bytes => bytes,
        };
        QueueUsage { size, bytes }
    }
}

// === impl QueueUsage ===

impl QueueUsage {
    fn plus(self, other: Self) -> Self {
        Self { size: self.size.saturating_add(other.size), bytes: self.bytes.saturating_add(other.bytes) }
    }

    fn minus(self, other: Self) -> Self {
        Self { size: self.size.saturating_sub(other.size), bytes: self.bytes.saturating_sub(other.bytes) }
    }
}

// === impl UsedRoom ===

impl Drop for UsedRoom {
    fn drop(&mut self) {
        let mut contents = self.queue.lock();
        contents.used = contents.used.minus(self.usage);
        self.queue.publish(&mut contents);
        drop(contents);
        self.queue.left.notify_one();
    }
}

#[cfg(test)]
mod tests;
