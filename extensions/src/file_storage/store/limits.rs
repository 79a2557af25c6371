//! Limits of a store, and the extensions that set them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::queue_log::RotationLimits;
use super::Store;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::file_storage) struct StoreLimits {
    /// Maximum length of all segments.
    pub(in crate::file_storage) bytes: u64,
    /// Age from which records are removed.
    pub(in crate::file_storage) age: Option<Duration>,
    /// Whether [`Store::sync`] makes changes permanent. Otherwise it does nothing.
    pub(in crate::file_storage) fsync: bool,
}

/// Limits of the extensions that use a store, in the order of their starts. During a reload there are two.
#[derive(Default)]
pub(super) struct UserLimits {
    by_user: BTreeMap<u64, StoreLimits>,
    next: u64,
}

/// Registers an extension as a user of a store, until this is dropped.
pub(in crate::file_storage) struct StoreUser {
    pub(in crate::file_storage) store: Arc<Store>,
    id: u64,
}

/// Bounds of the length of a segment in bytes. A long segment is removed late. Short segments need many files.
const SEGMENT_BYTES: (u64, u64) = (256 << 10, 8 << 20);
/// Number of segments of a full store, unless a segment would exceed these bounds.
const SEGMENTS: u64 = 64;

// === impl StoreLimits ===

impl StoreLimits {
    pub(super) fn rotation(self) -> RotationLimits {
        let bytes = (self.bytes / SEGMENTS).clamp(SEGMENT_BYTES.0, SEGMENT_BYTES.1);
        RotationLimits { bytes, age: self.age.map_or(Duration::MAX, |age| age / 8) }
    }
}

// === impl StoreUser ===

impl StoreUser {
    /// Adds a user. Its limits take effect when the users before it have ended, so that a reload that is refused changes nothing.
    pub(in crate::file_storage) fn new(store: Arc<Store>, limits: StoreLimits) -> Self {
        let id = store.change_users(|users| {
            users.by_user.insert(users.next, limits);
            users.next += 1;
            users.next - 1
        });
        Self { store, id }
    }
}

impl Drop for StoreUser {
    fn drop(&mut self) {
        self.store.change_users(|users| users.by_user.remove(&self.id));
    }
}

// === impl UserLimits ===

impl UserLimits {
    /// Returns the limits that are in effect. `None` if there is no user.
    pub(super) fn first(&self) -> Option<StoreLimits> {
        self.by_user.first_key_value().map(|(_, limits)| *limits)
    }
}
