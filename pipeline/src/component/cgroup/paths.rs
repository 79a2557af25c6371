//! [`CgroupPaths`]: the paths of cgroups by id, as the kernel reported them when it created them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hashbrown::HashMap;

use super::RemovedCgroups;

/// Maximum number of paths.
const MAX_PATHS: usize = 16_384;
/// Maximum length of all paths together, in bytes.
const MAX_BYTES: usize = 4 << 20;

/// Paths of cgroups that were created while a receiver observed it, removed ones included.
///
/// A receiver to which the kernel reports creations writes it, and processors read it: the directory of a short-lived cgroup is gone before
/// it can be read. The components of a graph share one table ([`Shared`](crate::component::Shared)).
#[derive(Debug, Default)]
pub struct CgroupPaths {
    table: Mutex<PathTable>,
}

#[derive(Debug, Default)]
struct PathTable {
    by_id: HashMap<u64, KnownPath, foldhash::fast::RandomState>,
    removed: RemovedCgroups,
    /// All cgroups in the order of their creation. Contains ids that are no longer in `by_id`.
    created: VecDeque<u64>,
    /// Length of all paths.
    bytes: usize,
    evicted: u64,
}

#[derive(Debug)]
struct KnownPath {
    path: Arc<str>,
    is_removed: bool,
}

// === impl CgroupPaths ===

impl CgroupPaths {
    /// Adds a cgroup that was created. `path` begins with `/` and is relative to the root of cgroup2.
    pub fn created(&self, id: u64, path: &str) {
        self.with_table(|table| table.insert(id, path));
    }

    /// Records that a cgroup was removed. Its path is kept for a while, for late records.
    pub fn removed(&self, id: u64, now: Instant) {
        self.with_table(|table| {
            if let Some(known) = table.by_id.get_mut(&id).filter(|known| !known.is_removed) {
                known.is_removed = true;
                table.removed.push(id, now);
            }
            table.forget_expired(now);
        });
    }

    /// Removes the paths of cgroups that were removed long ago. Must be called regularly.
    pub fn forget_expired(&self, now: Instant) {
        self.with_table(|table| table.forget_expired(now));
    }

    /// Returns the path of a cgroup, relative to the root of cgroup2. `None` if its creation was not reported.
    pub fn path(&self, id: u64) -> Option<Arc<str>> {
        self.with_table(|table| table.by_id.get(&id).map(|known| Arc::clone(&known.path)))
    }

    /// Returns the number of paths.
    pub fn len(&self) -> usize {
        self.with_table(|table| table.by_id.len())
    }

    /// Returns true if there are no paths.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of paths that were removed before their time, because there were too many.
    pub fn evicted(&self) -> u64 {
        self.with_table(|table| table.evicted)
    }

    fn with_table<T>(&self, work: impl FnOnce(&mut PathTable) -> T) -> T {
        work(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

// === impl PathTable ===

impl PathTable {
    fn insert(&mut self, id: u64, path: &str) {
        self.forget(id);
        while self.by_id.len() >= MAX_PATHS || self.bytes + path.len() > MAX_BYTES {
            // Removed cgroups first: the directories of others can be read.
            let oldest = self.removed.pop_oldest().or_else(|| self.created.pop_front());
            let Some(oldest) = oldest else { break };
            self.evicted += u64::from(self.forget(oldest));
        }
        if self.created.len() >= 2 * MAX_PATHS {
            self.created.retain(|id| self.by_id.contains_key(id));
        }
        self.bytes += path.len();
        self.created.push_back(id);
        self.by_id.insert(id, KnownPath { path: path.into(), is_removed: false });
    }

    fn forget_expired(&mut self, now: Instant) {
        while let Some(id) = self.removed.expired(now) {
            self.forget(id);
        }
    }

    /// Removes a path. Returns true if there was one.
    fn forget(&mut self, id: u64) -> bool {
        let known = self.by_id.remove(&id);
        self.bytes -= known.as_ref().map_or(0, |known| known.path.len());
        known.is_some()
    }
}
