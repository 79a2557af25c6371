//! [`Storage`]: stores the payloads of sending queues, so that a restart does not lose them. Extensions provide storages, sending queues use
//! them.
//!
//! All functions block the thread while they read or write files.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use longwave_config::Signal;

use crate::component::accounting::DropReason;
use crate::component::error::ComponentError;
use crate::model::UnixNanos;

/// Stores the payloads of several queues.
pub trait Storage: Send + Sync {
    /// Opens the queue of an exporter for one signal. If the former instance of the exporter has not closed it yet, waits for that.
    ///
    /// # Errors
    /// The storage cannot be read.
    fn open(&self, exporter: &str, signal: Signal) -> Result<OpenedQueue, ComponentError>;
}

/// The stored payloads of one exporter and signal. It is closed when this is dropped.
pub trait StoredQueue: Send + Sync {
    /// Writes a payload behind all others. If there is no room, removes the oldest payloads of the storage ([`Self::removed`]).
    ///
    /// # Errors
    /// The payload is not stored: there is no room ([`StorageError::Full`]) or the write failed.
    fn append(&self, payload: NewRecord) -> Result<RecordKey, StorageError>;

    /// Reads a payload, which is the one that was written: its checksum is verified.
    ///
    /// # Errors
    /// The payload was removed or is damaged, or the read failed.
    fn read(&self, key: RecordKey) -> Result<Bytes, StorageError>;

    /// Marks payloads as delivered or dropped. They are not returned after a restart. Keys of removed payloads have no effect.
    fn done(&self, keys: &[RecordKey]);

    /// Makes sure that a power failure does not undo what was written and marked so far, if the storage is configured so.
    fn sync(&self);

    /// Returns whether another instance of the exporter waits until this one has closed the queue.
    fn is_wanted(&self) -> bool;

    /// Returns what the storage has removed, ascending: payloads with a smaller sequence number than the first number were removed for the
    /// first reason, and so on.
    fn removed(&self) -> Vec<(u64, DropReason)>;
}

/// A queue and its payloads that are not done. An earlier instance of the exporter stored them.
pub struct OpenedQueue {
    /// The queue.
    pub queue: Arc<dyn StoredQueue>,
    /// The payloads, the oldest first.
    pub records: Vec<StoredRecord>,
    /// Number of payloads that are lost because their records are damaged so much that not even their items are known.
    pub damaged: u64,
}

/// A payload to be stored.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// The request's body, as [`Payload::bytes`](crate::component::Payload::bytes).
    pub bytes: Bytes,
    /// Number of records or points.
    pub items: u64,
    /// Traffic that the items report.
    pub traffic_bytes: u64,
    /// Nominal time up to which the pipeline was complete when the payload was queued: the end of the window, or the last watermark.
    pub tick: UnixNanos,
}

/// Finds a stored payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordKey {
    /// Ascends in the order of the queue, over all instances of the exporter.
    pub sequence: u64,
    /// Position in its file.
    pub offset: u64,
    /// Length of the payload in bytes.
    pub len: u32,
}

/// A payload that an earlier instance of the exporter has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Finds it.
    pub key: RecordKey,
    /// As in [`NewRecord`].
    pub items: u64,
    /// As in [`NewRecord`].
    pub traffic_bytes: u64,
    /// As in [`NewRecord`].
    pub tick: UnixNanos,
}

/// Why a payload cannot be stored or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// There is no room, and nothing older that could be removed.
    #[error("{0}")]
    Full(String),
    /// The storage has removed the payload.
    #[error("the storage has removed it ({0})")]
    Removed(DropReason),
    /// The stored payload is not the one that was written.
    #[error("{0}")]
    Damaged(String),
    /// A file cannot be read or written.
    #[error("{0}")]
    Failed(String),
}

/// The storages of a running graph, by the ids of their extensions.
#[derive(Clone, Default)]
pub struct Storages {
    by_id: Arc<HashMap<String, Arc<dyn Storage>>>,
}

// === impl StorageError ===

impl StorageError {
    /// Returns the reason under which the payload is counted as dropped.
    pub fn reason(&self) -> DropReason {
        match self {
            Self::Full(_) => DropReason::STORAGE_FULL,
            Self::Removed(reason) => *reason,
            Self::Damaged(_) => DropReason::STORAGE_DAMAGED,
            Self::Failed(_) => DropReason::STORAGE_FAILED,
        }
    }
}

// === impl Storages ===

impl Storages {
    /// Collects the storages of extensions, by their ids.
    pub fn new(storages: impl IntoIterator<Item = (String, Arc<dyn Storage>)>) -> Self {
        Self { by_id: Arc::new(storages.into_iter().collect()) }
    }

    /// Returns the storage of extension `id`.
    ///
    /// # Errors
    /// The extension does not store payloads (`health_check`), or does not exist.
    pub fn get(&self, id: &str) -> Result<Arc<dyn Storage>, ComponentError> {
        self.by_id.get(id).cloned().ok_or_else(|| {
            ComponentError::new(format!(
                "sending_queue::storage: extensions::{id} does not store payloads (use file_storage)"
            ))
        })
    }
}
