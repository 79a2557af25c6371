//! [`StoreQueue`]: one open queue of a store.

use std::sync::Arc;

use bytes::Bytes;
use longwave_pipeline::component::{
    ComponentError, DropReason, NewRecord, OpenedQueue, RecordKey, Signal, StorageError, StoredQueue,
};
use longwave_pipeline::model::UnixNanos;

use super::queue_log::LoadedQueue;
use super::store::Store;

pub(super) struct StoreQueue {
    store: Arc<Store>,
    name: String,
}

// === impl StoreQueue ===

impl StoreQueue {
    /// Opens a queue, and logs what was found.
    pub(super) fn open(
        store: &Arc<Store>,
        exporter: &str,
        signal: Signal,
    ) -> Result<OpenedQueue, ComponentError> {
        let (name, loaded) = store.open(exporter, signal)?;
        let LoadedQueue { records, damage, cut_bytes } = loaded;
        if cut_bytes > 0 {
            tracing::info!(exporter, %signal, cut_bytes, "cut off an incomplete request, which did not count as queued");
        }
        if damage.lost_records > 0 {
            let lost_requests = damage.lost_records;
            tracing::error!(exporter, %signal, lost_requests, "the stored queue is damaged, and requests are lost: check the disk");
        } else if damage.harmless > 0 {
            tracing::warn!(exporter, %signal, "the stored queue is damaged, but no request is lost: check the disk");
        }
        let queue = Arc::new(Self { store: Arc::clone(store), name });
        Ok(OpenedQueue { queue, records, damaged: damage.lost_records })
    }
}

impl StoredQueue for StoreQueue {
    fn append(&self, payload: NewRecord) -> Result<RecordKey, StorageError> {
        self.store.append(&self.name, &payload, UnixNanos::now())
    }

    fn read(&self, key: RecordKey) -> Result<Bytes, StorageError> {
        self.store.read(&self.name, key).map(Bytes::from)
    }

    fn done(&self, keys: &[RecordKey]) {
        self.store.done(&self.name, keys);
    }

    fn sync(&self) {
        self.store.sync(&self.name);
    }

    fn is_wanted(&self) -> bool {
        self.store.waiting(&self.name) > 0
    }

    fn removed(&self) -> Vec<(u64, DropReason)> {
        self.store.removed(&self.name)
    }
}

impl Drop for StoreQueue {
    fn drop(&mut self) {
        self.store.close(&self.name);
    }
}
