//! [`DropReason`]: why items were dropped.

use std::fmt;

use super::NodeKind;

/// Why items were dropped. The value of the attribute `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DropReason(pub &'static str);

// === impl DropReason ===

impl DropReason {
    /// The queue of the next stage was full.
    pub const QUEUE_FULL: Self = Self("queue_full");
    /// There was no room for an update. The connection's next record contains its deltas, so that no bytes are lost.
    pub const DEFERRED: Self = Self("deferred");
    /// The rules of a filter excluded the item.
    pub const FILTERED: Self = Self("filtered");
    /// The process used more memory than its limit.
    pub const MEMORY_LIMIT: Self = Self("memory_limit");
    /// `max_elapsed_time` is over, or retries are off.
    pub const RETRIES_EXHAUSTED: Self = Self("retries_exhausted");
    /// The server reported an error that a retry does not resolve.
    pub const PERMANENT_ERROR: Self = Self("permanent_error");
    /// The server accepted the request without these items (OTLP partial success).
    pub const REJECTED: Self = Self("rejected_by_server");
    /// The item was not delivered before the time limit of the shutdown.
    pub const SHUTDOWN: Self = Self("shutdown");
    /// The item could not be encoded.
    pub const ENCODING: Self = Self("encoding");
    /// The stage that should receive the item has ended.
    pub const STAGE_ENDED: Self = Self("stage_ended");
    /// The stage that had the item failed.
    pub const STAGE_FAILED: Self = Self("stage_failed");
    /// The output of an exporter is closed.
    pub const OUTPUT_CLOSED: Self = Self("output_closed");
    /// The storage of a queue has no room, because of its `max_size` or a full disk.
    pub const STORAGE_FULL: Self = Self("storage_full");
    /// The item was in the storage of a queue for longer than its `max_age`.
    pub const STORAGE_EXPIRED: Self = Self("storage_expired");
    /// The item is damaged in the storage of a queue.
    pub const STORAGE_DAMAGED: Self = Self("storage_damaged");
    /// The storage of a queue cannot be written or read.
    pub const STORAGE_FAILED: Self = Self("storage_failed");
    /// Reasons for which only a queue with a storage drops items.
    pub const OF_STORAGE: [Self; 4] =
        [Self::STORAGE_FULL, Self::STORAGE_EXPIRED, Self::STORAGE_DAMAGED, Self::STORAGE_FAILED];

    /// Returns the reasons for which every stage of a kind may drop items.
    pub(super) fn of_kind(kind: NodeKind) -> &'static [Self] {
        match kind {
            NodeKind::Receiver => &[Self::QUEUE_FULL, Self::DEFERRED, Self::STAGE_ENDED],
            NodeKind::Processor => &[Self::STAGE_ENDED, Self::STAGE_FAILED],
            NodeKind::Exporter => &[
                Self::QUEUE_FULL,
                Self::RETRIES_EXHAUSTED,
                Self::PERMANENT_ERROR,
                Self::REJECTED,
                Self::SHUTDOWN,
                Self::ENCODING,
                Self::OUTPUT_CLOSED,
                Self::STAGE_ENDED,
                Self::STAGE_FAILED,
            ],
            // It drops items only if the process ends without draining.
            NodeKind::Passage => &[],
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
