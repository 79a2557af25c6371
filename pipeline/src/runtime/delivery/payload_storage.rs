//! [`PayloadStorage`]: stores the payloads of one queue. The calls of [`StoredQueue`] block, so that they run on blocking threads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::component::{
    ComponentError, DropReason, NewRecord, Payload, RecordKey, StorageError, StoredQueue,
};
use crate::model::UnixNanos;

pub(super) struct PayloadStorage {
    queue: Arc<dyn StoredQueue>,
    /// Notified when a payload was written.
    written: Arc<Notify>,
    /// Task that syncs what was written. It ends when this is dropped.
    _sync: JoinSet<()>,
}

/// Minimum time between two syncs, because syncs wear out flash disks.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Maximum number of attempts to read a payload.
const READS: u32 = 3;
/// Wait between two attempts to read a payload.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);

// === impl PayloadStorage ===

impl PayloadStorage {
    pub(super) fn new(queue: Arc<dyn StoredQueue>) -> Self {
        let written = Arc::new(Notify::new());
        let mut sync = JoinSet::new();
        sync.spawn({
            let (queue, written) = (Arc::clone(&queue), Arc::clone(&written));
            async move {
                loop {
                    written.notified().await;
                    blocking(&queue, |queue| queue.sync()).await;
                    tokio::time::sleep(SYNC_EVERY).await;
                }
            }
        });
        Self { queue, written, _sync: sync }
    }

    /// Stores a payload. Waits only until the payload is in the page cache. A later sync writes it to the disk.
    pub(super) async fn append(&self, payload: &Payload, tick: UnixNanos) -> Result<RecordKey, StorageError> {
        let Payload { bytes, items, traffic_bytes } = payload.clone();
        let record = NewRecord { bytes, items, traffic_bytes, tick };
        let stored = blocking(&self.queue, move |queue| queue.append(record)).await;
        self.written.notify_one();
        stored.unwrap_or_else(|| Err(interrupted()))
    }

    /// Returns the payload with its bytes, or why it is dropped.
    pub(super) async fn load(
        &self,
        payload: &Payload,
        key: RecordKey,
    ) -> Result<Payload, (DropReason, String)> {
        let mut attempt = 1;
        loop {
            let read = blocking(&self.queue, move |queue| queue.read(key)).await;
            match read.unwrap_or_else(|| Err(interrupted())) {
                Ok(bytes) => return Ok(Payload { bytes, ..payload.clone() }),
                // For example, too many files are open.
                Err(StorageError::Failed(_)) if attempt < READS => {
                    attempt += 1;
                    tokio::time::sleep(READ_AGAIN_AFTER).await;
                }
                Err(error) => return Err((error.reason(), error.to_string())),
            }
        }
    }

    pub(super) async fn done(&self, keys: &[RecordKey]) {
        if keys.is_empty() {
            return;
        }
        let keys = keys.to_vec();
        blocking(&self.queue, move |queue| queue.done(&keys)).await;
    }

    /// Returns whether the next instance of the exporter waits for the queue.
    pub(super) async fn is_wanted(&self) -> bool {
        blocking(&self.queue, |queue| queue.is_wanted()).await.unwrap_or_default()
    }

    /// Returns what the storage has removed, as [`StoredQueue::removed`].
    pub(super) async fn removed(&self) -> Vec<(u64, DropReason)> {
        blocking(&self.queue, |queue| queue.removed()).await.unwrap_or_default()
    }

    pub(super) async fn sync(&self) {
        blocking(&self.queue, |queue| queue.sync()).await;
    }
}

/// Runs a function on a blocking thread. `None` if it panicked, or if the process is ending.
async fn blocking<T: Send + 'static>(
    queue: &Arc<dyn StoredQueue>,
    call: impl FnOnce(&dyn StoredQueue) -> T + Send + 'static,
) -> Option<T> {
    let queue = Arc::clone(queue);
    tokio::task::spawn_blocking(move || call(&*queue)).await.ok()
}

fn interrupted() -> StorageError {
    StorageError::Failed("the thread that used the storage has ended".to_owned())
}

/// Returns an error for a storage that cannot be opened because its thread ended.
pub(super) fn interrupted_open(cause: tokio::task::JoinError) -> ComponentError {
    ComponentError::with_source("the storage was interrupted while it was opened", cause)
}
