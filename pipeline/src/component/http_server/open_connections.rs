//! [`OpenConnections`]: the connections of one listener, each with a permit. There are few permits, so that clients cannot use up the
//! descriptors of the process. A new client closes the connection that has been idle for the longest time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

pub(super) struct OpenConnections {
    permits: Arc<Semaphore>,
    open: Mutex<Numbered>,
}

#[derive(Default)]
struct Numbered {
    by_number: HashMap<u64, OpenConnection>,
    next: u64,
}

struct OpenConnection {
    evicted: CancellationToken,
    /// Whether a request arrives or is being answered.
    is_busy: bool,
    /// Time of the last byte from the client, or of the connection's start.
    last_read: Instant,
}

/// The permit of one connection. Returns it when it is dropped.
pub(super) struct Admission {
    number: u64,
    evicted: CancellationToken,
    connections: Arc<OpenConnections>,
    _permit: Option<OwnedSemaphorePermit>,
}

// === impl OpenConnections ===

impl OpenConnections {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { permits: Arc::new(Semaphore::new(limit)), open: Mutex::default() })
    }

    /// Waits for a permit. If none is free, closes the connection that has been idle for the longest time, or the one whose request takes
    /// the longest time if none is idle. May be dropped and called again for the same client: another connection is closed only after the
    /// previous one has returned its permit.
    pub(super) async fn admit(self: &Arc<Self>) -> Admission {
        if self.permits.available_permits() == 0 {
            self.evict();
        }
        // An error would mean that the semaphore is closed, which it never is.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        let mut open = self.open();
        let (number, evicted) = (open.next, CancellationToken::new());
        open.next += 1;
        let connection =
            OpenConnection { evicted: evicted.clone(), is_busy: false, last_read: Instant::now() };
        open.by_number.insert(number, connection);
        Admission { number, evicted, connections: Arc::clone(self), _permit: permit }
    }

    fn evict(&self) {
        let open = self.open();
        if open.by_number.values().any(|connection| connection.evicted.is_cancelled()) {
            return;
        }
        let first =
            open.by_number.values().min_by_key(|connection| (connection.is_busy, connection.last_read));
        if let Some(connection) = first {
            connection.evicted.cancel();
        }
    }

    fn open(&self) -> MutexGuard<'_, Numbered> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Admission ===

impl Admission {
    /// Resolves when another client needs the permit.
    pub(super) fn evicted(&self) -> WaitForCancellationFutureOwned {
        self.evicted.clone().cancelled_owned()
    }

    /// The client sent a part of a request.
    pub(super) fn set_busy(&self) {
        self.update(|connection| (connection.is_busy, connection.last_read) = (true, Instant::now()));
    }

    /// The request has been answered.
    pub(super) fn set_idle(&self) {
        self.update(|connection| connection.is_busy = false);
    }

    fn update(&self, change: impl FnOnce(&mut OpenConnection)) {
        if let Some(connection) = self.connections.open().by_number.get_mut(&self.number) {
            change(connection);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.connections.open().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests;
