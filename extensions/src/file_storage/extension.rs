//! The extension: opens the store at its start, and removes requests that are too old.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use longwave_pipeline::component::{
    ComponentError, Extension, ExtensionContext, OpenedQueue, Running, Signal, Storage,
};
use longwave_pipeline::model::UnixNanos;
use tokio_util::sync::CancellationToken;

use super::config::FileStorageConfig;
use super::disk::HostDisk;
use super::lock;
use super::queue::StoreQueue;
use super::store::{Store, StoreUser};
use super::telemetry::{self, ObservedStore};

/// Extension `file_storage`, ready to be started.
pub struct FileStorage {
    id: String,
    config: FileStorageConfig,
    storage: Arc<StartedStorage>,
    observed: Arc<ObservedStore>,
}

/// The storage that exporters use. It has a store once the extension has started.
struct StartedStorage {
    id: String,
    store: OnceLock<Arc<Store>>,
}

/// The stores of this process by their directories. During a reload two extensions use the same store.
static STORES: Mutex<Vec<(PathBuf, Weak<Store>)>> = Mutex::new(Vec::new());

/// Time between two searches for requests that are too old.
const EXPIRE_EVERY: Duration = Duration::from_secs(10);
/// Time for which a queue must be closed to count as unused. Exporters open their queues sooner, also during a reload.
const UNUSED_AFTER: Duration = Duration::from_secs(60);

// === impl FileStorage ===

impl FileStorage {
    /// Creates the extension, without opening its store.
    ///
    /// # Errors
    /// The directory does not exist and is not to be created.
    pub fn new(config: &FileStorageConfig, context: &ExtensionContext) -> Result<Self, ComponentError> {
        let id = context.id.clone();
        if !config.create_directory && !config.directory.is_dir() {
            return Err(of_section(&id, lock::missing(&config.directory)));
        }
        let storage = Arc::new(StartedStorage { id: id.clone(), store: OnceLock::new() });
        let observed = Arc::default();
        telemetry::export(&observed, &context.meter, &id);
        Ok(Self { id, config: config.clone(), storage, observed })
    }
}

#[async_trait]
impl Extension for FileStorage {
    fn storage(&self) -> Option<Arc<dyn Storage>> {
        Some(Arc::clone(&self.storage) as Arc<dyn Storage>)
    }

    async fn start(self: Box<Self>, stop: CancellationToken) -> Result<Running, ComponentError> {
        let Self { id, config, storage, observed } = *self;
        let opened = tokio::task::spawn_blocking(move || open(&config)).await;
        let opened = opened.unwrap_or_else(|panic| Err(ComponentError::with_source("it panicked", panic)));
        let user = opened.map_err(|error| of_section(&id, error))?;
        let size = user.store.size();
        tracing::info!(
            extension = id,
            segments = size.segments,
            requests = size.records,
            bytes = size.bytes,
            "opened the store"
        );
        observed.set(&user.store);
        storage.store.get_or_init(|| Arc::clone(&user.store));
        Ok(Box::pin(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = expire(&id, &user.store) => {}
            }
            Ok(())
        }))
    }
}

/// Opens the store, or uses the one that this process already has.
fn open(config: &FileStorageConfig) -> Result<StoreUser, ComponentError> {
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    stores.retain(|(_, store)| store.strong_count() > 0);
    if let Ok(path) = config.directory.canonicalize()
        && let Some(store) = stores.iter().find(|(of, _)| *of == path).and_then(|(_, store)| store.upgrade())
    {
        return Ok(StoreUser::new(store, config.limits()));
    }
    let lock = lock::lock(config)?;
    let failed =
        |error| ComponentError::with_source(format!("directory: {}", config.directory.display()), error);
    let path = config.directory.canonicalize().map_err(failed)?;
    let store = Store::load(Arc::new(HostDisk), &path, config.limits(), Some(lock)).map_err(|error| {
        ComponentError { message: format!("directory: {}", error.message), source: error.source }
    })?;
    let store = Arc::new(store);
    stores.push((path, Arc::downgrade(&store)));
    Ok(StoreUser::new(store, config.limits()))
}

/// Removes requests that are too old, every [`EXPIRE_EVERY`]. Logs each queue that no exporter uses once.
async fn expire(id: &str, store: &Arc<Store>) {
    let mut reported: Vec<(String, Signal, u64)> = Vec::new();
    loop {
        tokio::time::sleep(EXPIRE_EVERY).await;
        let expired = Arc::clone(store);
        // A panic is a bug, and does not end the extension.
        let _ = tokio::task::spawn_blocking(move || expired.expire(UnixNanos::now())).await;
        let unused = store.unused(UNUSED_AFTER);
        for (exporter, signal, requests) in &unused {
            if !reported.iter().any(|(of, of_signal, _)| (of, of_signal) == (exporter, signal)) {
                tracing::warn!(
                    extension = id, exporter, %signal, requests,
                    "no exporter uses this queue of the store, and it has requests: configure the exporter again to send them, or remove the directory of the queue"
                );
            }
        }
        reported = unused;
    }
}

/// Adds the path of the section to a message.
fn of_section(id: &str, error: ComponentError) -> ComponentError {
    ComponentError { message: format!("extensions::{id}: {}", error.message), source: error.source }
}

// === impl StartedStorage ===

impl Storage for StartedStorage {
    fn open(&self, exporter: &str, signal: Signal) -> Result<OpenedQueue, ComponentError> {
        let Some(store) = self.store.get() else {
            return Err(ComponentError::new(format!("extensions::{} has not started", self.id)));
        };
        StoreQueue::open(store, exporter, signal).map_err(|error| of_section(&self.id, error))
    }
}
