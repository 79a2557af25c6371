//! Self-telemetry of `file_storage`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use longwave_pipeline::component::{ComponentMeter, DropReason};
use opentelemetry::metrics::Meter;

use super::store::{Store, StoreSize, StoreStats};

/// A store that self-telemetry reads while it is open.
#[derive(Default)]
pub(super) struct ObservedStore(OnceLock<Weak<Store>>);

/// Registers the metrics with `meter`, with the extension's id as an attribute.
pub(super) fn export(storage: &Arc<ObservedStore>, meter: &Meter, id: &str) {
    let meter = ComponentMeter::new(meter, [("extension", id)]);
    let storage = meter.observe(storage);
    storage.gauge("longwave_extension_file_storage_size", "By", "Size of the stored files.", |storage| {
        size(storage).bytes
    });
    storage.gauge(
        "longwave_extension_file_storage_limit",
        "By",
        "Maximum size of the stored files.",
        |storage| storage.store().map_or(0, |store| store.limits().bytes),
    );
    storage.gauge(
        "longwave_extension_file_storage_segments",
        "{file}",
        "Number of stored files.",
        |storage| size(storage).segments,
    );
    storage.gauge(
        "longwave_extension_file_storage_requests",
        "{request}",
        "Stored requests that are neither delivered nor dropped.",
        |storage| size(storage).records,
    );
    storage.counter_by(
        "longwave_extension_file_storage_dropped_requests",
        "{request}",
        "Stored requests that were lost, by reason.",
        "reason",
        |storage| {
            let reasons: [(DropReason, ReadCount); 3] = [
                (DropReason::STORAGE_FULL, |stats| &stats.full_records),
                (DropReason::STORAGE_EXPIRED, |stats| &stats.expired_records),
                (DropReason::STORAGE_DAMAGED, |stats| &stats.damaged_records),
            ];
            reasons.map(|(reason, read)| (reason.0, count(storage, read)))
        },
    );
    storage.counter(
        "longwave_extension_file_storage_failures",
        "{operation}",
        "Operations on files that failed.",
        |storage| count(storage, |stats| &stats.failures),
    );
}

/// Returns one of the counters.
type ReadCount = fn(&StoreStats) -> &AtomicU64;

// === impl ObservedStore ===

impl ObservedStore {
    pub(super) fn set(&self, store: &Arc<Store>) {
        // An extension starts once.
        let _ = self.0.set(Arc::downgrade(store));
    }

    fn store(&self) -> Option<Arc<Store>> {
        self.0.get()?.upgrade()
    }
}

fn size(storage: &ObservedStore) -> StoreSize {
    storage.store().map(|store| store.size()).unwrap_or_default()
}

fn count(storage: &ObservedStore, read: ReadCount) -> u64 {
    storage.store().map_or(0, |store| read(&store.stats).load(Ordering::Relaxed))
}
