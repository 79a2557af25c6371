//! [`Store`]: the queues of one directory, within one limit of bytes and one of age.

use std::collections::BTreeMap;
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
use super::queue_log::{LoadedQueue, QueueLog, read_payload};
use super::queue_name;

mod limits;
mod state;

use limits::UserLimits;
pub(super) use limits::{StoreLimits, StoreUser};
use state::{QueueEntry, StoreState};

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

/// Counters of a store, for self-telemetry.
#[derive(Debug, Default)]
pub(super) struct StoreStats {
    pub(super) full_records: AtomicU64,
    pub(super) expired_records: AtomicU64,
    pub(super) damaged_records: AtomicU64,
    pub(super) failures: AtomicU64,
}

/// Size of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StoreSize {
    pub(super) bytes: u64,
    pub(super) segments: u64,
    pub(super) records: u64,
}

/// Longest wait until the former instance of an exporter has closed its queue. Longer than the shutdown of an exporter.
const CLOSE_LIMIT: Duration = Duration::from_secs(30);
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
            queues.insert(name, QueueEntry::new(log));
        }
        let store = Self {
            disk,
            directory: directory.to_owned(),
            state: Mutex::new(StoreState { limits, users: UserLimits::default(), queues }),
            closed: Condvar::new(),
            stats: StoreStats::default(),
            _lock: lock,
        };
        store.lock().shrink(&store.stats);
        Ok(store)
    }

    /// Opens a queue and reads its pending records. Waits until the former instance of the exporter has closed it.
    pub(super) fn open(
        &self,
        exporter: &str,
        signal: Signal,
    ) -> Result<(String, LoadedQueue), ComponentError> {
        let name = queue_name::make(exporter, signal);
        let mut state = self.lock();
        let entry = state.queues.entry(name.clone()).or_insert_with(|| {
            QueueEntry::new(QueueLog::new(Arc::clone(&self.disk), self.directory.join(&name)))
        });
        let number = entry.add_waiting();
        let has_to_wait =
            |state: &mut StoreState| state.queues.get(&name).is_some_and(|entry| entry.has_to_wait(number));
        let waited = self.closed.wait_timeout_while(state, CLOSE_LIMIT, has_to_wait);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        let in_use = || {
            ComponentError::new(format!(
                "the former instance of exporters::{exporter} has not closed its queue of {signal} within {CLOSE_LIMIT:?}: send SIGHUP again"
            ))
        };
        let entry = state.queues.get_mut(&name).ok_or_else(in_use)?;
        entry.remove_waiting(number);
        if timeout.timed_out() {
            return Err(in_use());
        }
        let mut loaded = entry.log.load()?;
        loaded.damage.add(entry.log.take_damage_of_removed());
        entry.is_open = true;
        self.stats.damaged_records.fetch_add(loaded.damage.lost_records, Ordering::Relaxed);
        Ok((name, loaded))
    }

    /// Returns the number of calls of [`Self::open`] that wait until the queue is closed.
    pub(super) fn waiting(&self, name: &str) -> usize {
        self.lock().queues.get(name).map_or(0, QueueEntry::waiting)
    }

    pub(super) fn close(&self, name: &str) {
        if let Some(entry) = self.lock().queues.get_mut(name) {
            entry.close();
        }
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
                "a request of {} bytes is too large to be stored (at most {MAX_PAYLOAD})",
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
        // Each iteration removes a segment or returns.
        loop {
            if state.size().bytes + needed > max_size {
                if state.remove_oldest(&self.stats) {
                    continue;
                }
                let message = format!(
                    "{}: no room within max_size, and no older file of requests can be removed: increase max_size, or check the disk",
                    self.directory.display()
                );
                return Err(StorageError::Full(message));
            }
            let Some(log) = state.log(name) else {
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
            let mut state = self.lock();
            let log = state.log(name);
            let removed = log.as_ref().map(|log| log.removed()).unwrap_or_default();
            (log.and_then(|log| log.locate(key)), removed)
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
        let Some(log) = state.log(name) else { return };
        let marked: io::Result<()> = keys.iter().map(|key| log.done(*key)).fold(Ok(()), io::Result::and);
        if let Err(error) = marked.and(log.remove_finished()) {
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
            state.log(name).map(QueueLog::take_unsynced).unwrap_or_default()
        };
        // Without the lock, because it may take long.
        if let Err(error) = unsynced.sync(&*self.disk) {
            self.failed("cannot sync to the disk, so that a power failure may lose requests", &error);
        }
    }

    fn failed(&self, what: &str, error: &io::Error) {
        if self.stats.failures.fetch_add(1, Ordering::Relaxed) == 0 {
            let directory = self.directory.display();
            tracing::warn!(%directory, %error, "file_storage: {what} (later failures are only counted)");
        }
    }

    pub(super) fn removed(&self, name: &str) -> Vec<(u64, DropReason)> {
        self.lock().log(name).map(|log| log.removed()).unwrap_or_default()
    }

    /// Removes segments whose records are all older than the limit.
    pub(super) fn expire(&self, now: UnixNanos) {
        let mut state = self.lock();
        let Some(age) = state.limits.age else { return };
        let time = UnixNanos(now.0.saturating_sub(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)));
        for log in state.logs() {
            while log.oldest_is_before(time) {
                match log.remove_oldest(DropReason::STORAGE_EXPIRED) {
                    Ok(pending) => {
                        self.stats.expired_records.fetch_add(pending.unwrap_or(0), Ordering::Relaxed);
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
        self.lock().size()
    }

    pub(super) fn limits(&self) -> StoreLimits {
        self.lock().limits
    }

    /// Changes the users. The limits of the first one take effect immediately.
    fn change_users<T>(&self, change: impl FnOnce(&mut UserLimits) -> T) -> T {
        let mut state = self.lock();
        let changed = change(&mut state.users);
        if let Some(limits) = state.users.first() {
            state.limits = limits;
            state.shrink(&self.stats);
        }
        changed
    }

    /// See [`StoreState::unused`].
    pub(super) fn unused(&self, since: Duration) -> Vec<(String, Signal, u64)> {
        self.lock().unused(since)
    }

    fn lock(&self) -> MutexGuard<'_, StoreState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether there is no room on the disk.
fn is_full(error: &io::Error) -> bool {
    [Errno::NOSPC, Errno::DQUOT].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
