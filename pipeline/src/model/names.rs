//! Names as interned handles: equal names share one allocation, compare and hash by address, and are freed with their last handle.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use hashbrown::HashTable;

/// The word for a name that nobody could tell.
pub const UNKNOWN: &str = "unknown";

/// Who one end of a connection is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Workload {
    /// The top owner's name (Deployment, systemd unit, container, process, …).
    pub name: Arc<str>,
    /// `Deployment`, `StatefulSet`, …, `SystemdUnit`, `Container`, `Process`.
    pub kind: Arc<str>,
    /// Kubernetes namespace, or empty.
    pub namespace: Arc<str>,
    /// Pod name, or empty.
    pub pod: Arc<str>,
    /// Node name, or empty.
    pub node: Arc<str>,
    /// Container name, or empty.
    pub container: Arc<str>,
    /// Container id, or empty.
    pub container_id: Arc<str>,
    /// Labels and annotations that the configuration selected, in its order; empty for most.
    pub labels: Arc<[Label]>,
}

/// A label or an annotation of a workload that becomes an attribute of its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    /// Shared by all workloads that have it.
    pub key: Arc<LabelKey>,
    /// Value.
    pub value: Arc<str>,
}

/// The attribute of a label, for each end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LabelKey {
    /// `source.` and the attribute's name.
    pub source: Box<str>,
    /// `destination.` and the attribute's name.
    pub destination: Box<str>,
}

/// The service that the client meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Service {
    /// Name.
    pub name: Arc<str>,
    /// Kubernetes namespace, or empty.
    pub namespace: Arc<str>,
    /// Several services fit; this one was chosen by rule.
    pub ambiguous: bool,
}

/// A shared, immutable name. Two handles of one [`Interner`] are equal exactly when their names are.
pub struct Handle<T>(Arc<T>);

/// Hands out one [`Handle`] per distinct value and forgets values that nobody holds any more.
pub struct Interner<T> {
    table: Mutex<Table<T>>,
}

struct Table<T> {
    entries: HashTable<Entry<T>>,
    hasher: foldhash::fast::RandomState,
    sweep_at: usize,
}

struct Entry<T> {
    hash: u64,
    value: Weak<T>,
}

const FIRST_SWEEP: usize = 64;

// === impl LabelKey ===

impl LabelKey {
    /// For an attribute's name such as `k8s.pod.label.app`.
    pub fn new(name: &str) -> Self {
        Self { source: format!("source.{name}").into(), destination: format!("destination.{name}").into() }
    }

    /// The attribute's name without the end.
    pub fn name(&self) -> &str {
        self.source.strip_prefix("source.").unwrap_or_default()
    }
}

// === impl Handle ===

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Handle<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> PartialEq for Handle<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Eq for Handle<T> {}

impl<T> Hash for Handle<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}

impl<T: fmt::Debug> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> Borrow<T> for Handle<T> {
    fn borrow(&self) -> &T {
        &self.0
    }
}

impl<T> Handle<T> {
    /// The allocation's address: a cheap key for maps that hold the handle too.
    pub fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }
}

// === impl Interner ===

impl<T: Hash + Eq> Default for Interner<T> {
    fn default() -> Self {
        let hasher = foldhash::fast::RandomState::default();
        Self { table: Mutex::new(Table { entries: HashTable::new(), hasher, sweep_at: FIRST_SWEEP }) }
    }
}

impl<T: Hash + Eq> Interner<T> {
    /// The handle of `value`.
    pub fn intern(&self, value: T) -> Handle<T> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = table.hasher.hash_one(&value);
        let mut found = None;
        table.entries.find(hash, |entry| {
            found = entry.value.upgrade().filter(|held| entry.hash == hash && **held == value);
            found.is_some()
        });
        if let Some(held) = found {
            return Handle(held);
        }
        if table.entries.len() >= table.sweep_at {
            table.entries.retain(|entry| entry.value.strong_count() > 0);
            table.sweep_at = (table.entries.len() * 2).max(FIRST_SWEEP);
        }
        let held = Arc::new(value);
        let entry = Entry { hash, value: Arc::downgrade(&held) };
        table.entries.insert_unique(hash, entry, |entry| entry.hash);
        Handle(held)
    }

    /// Entries in the table, dead ones included: at most twice the living ones, plus a constant.
    pub fn len(&self) -> usize {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).entries.len()
    }

    /// No entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
