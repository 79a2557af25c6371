//! [`Store`]: the queues of one directory, within one limit of bytes and one of age.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longwave_pipeline::component::{ComponentError, DropReason, NewRecord, RecordKey, Signal, StorageError};
use longwave_pipeline::model::UnixNanos;
use rustix::io::Errno;

use super::disk::Disk;
use super::queue_log::{LoadError, LoadedQueue, QueueLog, RotationLimits, read_payload};
use super::queue_name;

pub(super) struct Store {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    state: Mutex<StoreState>,
    /// Notified when a queue is closed.
    closed: Condvar,
    pub(super) stats: StoreStats,
    /// Excludes other processes while it is open.
    _lock: Option<File>,
}

struct StoreState {
    limits: StoreLimits,
    /// By the names of their directories.
    queues: BTreeMap<String, QueueLog>,
    /// Names of the queues that are in use.
    open: BTreeSet<String>,
    /// Names of the queues that were in use at any time.
    used: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoreLimits {
    /// Maximum length of all segments.
    pub(super) bytes: u64,
    /// Age from which records are removed.
    pub(super) age: Option<Duration>,
    /// Whether [`Store::sync`] does anything.
    pub(super) fsync: bool,
}

/// What happened to the store. Read by self-telemetry.
#[derive(Debug, Default)]
pub(super) struct StoreStats {
    pub(super) full_records: AtomicU64,
    pub(super) expired_records: AtomicU64,
    pub(super) damaged_records: AtomicU64,
    pub(super) failures: AtomicU64,
}

/// What the store contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StoreSize {
    pub(super) bytes: u64,
    pub(super) segments: u64,
    pub(super) records: u64,
}

/// Longest wait until the former user of a queue has closed it. Longer than the shutdown of an exporter.
const CLOSE_LIMIT: Duration = Duration::from_secs(30);
/// Bounds of the length of a segment. A long one is removed late, a short one costs a file for few records.
const SEGMENT_BYTES: (u64, u64) = (256 << 10, 8 << 20);
/// Number of segments of a full store, within these bounds.
const SEGMENTS: u64 = 64;
/// Largest payload. Requests are much smaller.
const MAX_PAYLOAD: usize = 1 << 30;

// === impl Store ===

impl Store {
    /// Reads the store in a directory that this process has locked.
    ///
    /// # Errors
    /// A file cannot be read, or a newer version has written it.
    pub(super) fn load(
        disk: Arc<dyn Disk>,
        directory: &Path,
        limits: StoreLimits,
        lock: Option<File>,
    ) -> Result<Self, ComponentError> {
        let failed = |error| ComponentError::with_source(format!("{}", directory.display()), error);
        let mut queues = BTreeMap::new();
        for name in disk.list(directory).map_err(failed)? {
            if queue_name::parse(&name).is_none() {
                continue;
            }
            let mut log = QueueLog::new(Arc::clone(&disk), directory.join(&name));
            log.load()?;
            queues.insert(name, log);
        }
        let (open, used) = (BTreeSet::new(), BTreeSet::new());
        let store = Self {
            disk,
            directory: directory.to_owned(),
            state: Mutex::new(StoreState { limits, queues, open, used }),
            closed: Condvar::new(),
            stats: StoreStats::default(),
            _lock: lock,
        };
        store.shrink();
        Ok(store)
    }

    /// Sets other limits, which take effect immediately.
    pub(super) fn set_limits(&self, limits: StoreLimits) {
        self.lock().limits = limits;
        self.shrink();
    }

    /// Removes the oldest records, until the limit of bytes is met.
    fn shrink(&self) {
        let mut state = self.lock();
        while state.bytes() > state.limits.bytes {
            if !state.remove_oldest(&self.stats) {
                return;
            }
        }
    }

    /// Opens a queue and reads its pending records. Waits until a former user has closed it.
    pub(super) fn open(
        &self,
        exporter: &str,
        signal: Signal,
    ) -> Result<(String, LoadedQueue), ComponentError> {
        let name = queue_name::make(exporter, signal);
        let mut state = self.lock();
        if state.open.contains(&name) {
            let waited =
                self.closed.wait_timeout_while(state, CLOSE_LIMIT, |state| state.open.contains(&name));
            let (now, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = now;
            if timeout.timed_out() {
                return Err(ComponentError::new(format!(
                    "the queue of {signal} of exporter {exporter:?} is still in use"
                )));
            }
        }
        let directory = self.directory.join(&name);
        let log = state
            .queues
            .entry(name.clone())
            .or_insert_with(|| QueueLog::new(Arc::clone(&self.disk), directory));
        let mut loaded = log.load()?;
        loaded.damage.add(log.take_damage_of_removed());
        self.stats.damaged_records.fetch_add(loaded.damage.lost_records, Ordering::Relaxed);
        state.open.insert(name.clone());
        state.used.insert(name.clone());
        Ok((name, loaded))
    }

    pub(super) fn close(&self, name: &str) {
        self.lock().open.remove(name);
        self.closed.notify_all();
    }

    pub(super) fn append(
        &self,
        name: &str,
        new: &NewRecord,
        now: UnixNanos,
    ) -> Result<RecordKey, StorageError> {
        if new.bytes.len() > MAX_PAYLOAD {
            return Err(StorageError::Full(format!(
                "a request of {} bytes cannot be stored",
                new.bytes.len()
            )));
        }
        let needed = QueueLog::needed(new.bytes.len());
        let mut state = self.lock();
        let limits = state.limits;
        let max_size = limits.bytes;
        if needed > max_size {
            let message = format!(
                "a request of {} bytes is larger than the whole storage: increase max_size of the extension",
                new.bytes.len()
            );
            return Err(StorageError::Full(message));
        }
        // Each turn removes a segment or ends.
        loop {
            if state.bytes() + needed > max_size {
                if state.remove_oldest(&self.stats) {
                    continue;
                }
                let message = format!("{}: no room within max_size", self.directory.display());
                return Err(StorageError::Full(message));
            }
            let Some(log) = state.queues.get_mut(name) else {
                return Err(StorageError::Failed(format!("the queue {name:?} is not open")));
            };
            let error = match log.append(new, now, limits.rotation()) {
                Ok(key) => return Ok(key),
                Err(error) => error,
            };
            let message = format!("{}: {error}", self.directory.display());
            if !is_full(&error) {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
                return Err(StorageError::Failed(message));
            }
            if !state.remove_oldest(&self.stats) {
                return Err(StorageError::Full(message));
            }
        }
    }

    pub(super) fn read(&self, name: &str, key: RecordKey) -> Result<Vec<u8>, StorageError> {
        let (located, removed) = {
            let state = self.lock();
            let log = state.queues.get(name);
            (log.and_then(|log| log.locate(key)), log.map(QueueLog::removed).unwrap_or_default())
        };
        let Some((file, marker)) = located else {
            let reason = removed.iter().find(|(end, _)| key.sequence < *end).map(|(_, reason)| *reason);
            return Err(StorageError::Removed(reason.unwrap_or(DropReason::STORAGE_FULL)));
        };
        match file.and_then(|file| read_payload(&*file, marker, key)) {
            Ok(Some(payload)) => Ok(payload),
            Ok(None) => Err(self.damaged("a stored request is damaged: its checksum does not match")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(self.damaged("another program has removed a stored request"))
            }
            Err(error) => {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
                Err(StorageError::Failed(format!("{}: {error}", self.directory.display())))
            }
        }
    }

    fn damaged(&self, what: &str) -> StorageError {
        self.stats.damaged_records.fetch_add(1, Ordering::Relaxed);
        StorageError::Damaged(format!("{}: {what}", self.directory.display()))
    }

    pub(super) fn done(&self, name: &str, keys: &[RecordKey]) {
        let mut state = self.lock();
        let Some(log) = state.queues.get_mut(name) else { return };
        let marked: io::Result<()> = keys.iter().map(|key| log.done(*key)).fold(Ok(()), io::Result::and);
        if let Err(error) = marked.and(log.remove_finished().map(drop)) {
            self.failed(
                "cannot mark a request as sent, so that it may be sent again after a restart",
                &error,
            );
        }
    }

    pub(super) fn sync(&self, name: &str) {
        let unsynced = {
            let mut state = self.lock();
            if !state.limits.fsync {
                return;
            }
            state.queues.get_mut(name).map(QueueLog::take_unsynced).unwrap_or_default()
        };
        // Without the lock, because it may take long.
        if let Err(error) = unsynced.sync(&*self.disk) {
            self.failed("cannot write to the disk", &error);
        }
    }

    fn failed(&self, what: &str, error: &io::Error) {
        if self.stats.failures.fetch_add(1, Ordering::Relaxed) == 0 {
            let directory = self.directory.display();
            tracing::warn!(%directory, %error, "file_storage: {what} (later failures are only counted)");
        }
    }

    pub(super) fn removed(&self, name: &str) -> Vec<(u64, DropReason)> {
        self.lock().queues.get(name).map(QueueLog::removed).unwrap_or_default()
    }

    /// Removes segments whose records are all older than the limit.
    pub(super) fn expire(&self, now: UnixNanos) {
        let mut state = self.lock();
        let Some(age) = state.limits.age else { return };
        let time = UnixNanos(now.0.saturating_sub(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)));
        for log in state.queues.values_mut() {
            while log.oldest_is_before(time) {
                match log.remove_oldest(DropReason::STORAGE_EXPIRED) {
                    Ok(removed) => {
                        let pending = removed.map_or(0, |removed| removed.pending);
                        self.stats.expired_records.fetch_add(pending, Ordering::Relaxed);
                    }
                    Err(error) => {
                        self.failed("cannot remove expired requests", &error);
                        break;
                    }
                }
            }
        }
    }

    pub(super) fn size(&self) -> StoreSize {
        let state = self.lock();
        let mut size = StoreSize::default();
        for log in state.queues.values() {
            size.bytes += log.bytes();
            size.segments += log.segments() as u64;
            size.records += log.pending();
        }
        size
    }

    pub(super) fn limits(&self) -> StoreLimits {
        self.lock().limits
    }

    /// Returns the queues with records that no exporter has used, as (exporter, signal, number of records).
    pub(super) fn unused(&self) -> Vec<(String, Signal, u64)> {
        let state = self.lock();
        let unused =
            state.queues.iter().filter(|(name, log)| !state.used.contains(*name) && log.pending() > 0);
        unused
            .filter_map(|(name, log)| {
                let (exporter, signal) = queue_name::parse(name)?;
                Some((exporter, signal, log.pending()))
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, StoreState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether there is no room on the disk.
fn is_full(error: &io::Error) -> bool {
    [Errno::NOSPC, Errno::DQUOT].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

// === impl StoreState ===

impl StoreState {
    fn bytes(&self) -> u64 {
        self.queues.values().map(QueueLog::bytes).sum()
    }

    /// Removes the oldest segment of all queues. Returns false if there is none, or it cannot be removed.
    fn remove_oldest(&mut self, stats: &StoreStats) -> bool {
        let oldest = self.queues.values_mut().filter_map(|log| Some((log.oldest()?, log)));
        let Some((_, log)) = oldest.min_by_key(|(time, _)| *time) else { return false };
        match log.remove_oldest(DropReason::STORAGE_FULL) {
            Ok(Some(removed)) => {
                stats.full_records.fetch_add(removed.pending, Ordering::Relaxed);
                true
            }
            Ok(None) => false,
            Err(_) => {
                stats.failures.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }
}

// === impl StoreLimits ===

impl StoreLimits {
    fn rotation(self) -> RotationLimits {
        let bytes = (self.bytes / SEGMENTS).clamp(SEGMENT_BYTES.0, SEGMENT_BYTES.1);
        RotationLimits { bytes, age: self.age.map_or(Duration::MAX, |age| age / 8) }
    }
}

impl From<LoadError> for ComponentError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Newer(path, version) => Self::new(format!(
                "{}: a newer Longwave has written this file (version {version}, this one reads up to {}): start the newer one until the \
                 queue is empty, or remove the file, which loses its requests",
                path.display(),
                super::format::VERSION
            )),
            LoadError::Io(path, source) => {
                Self::with_source(format!("{}: cannot be used", path.display()), source)
            }
        }
    }
}
