//! Names of workloads and services, as interned handles.
//!
//! Equal names share one allocation, compare and hash by address, and are freed with their last handle.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use hashbrown::HashTable;

/// What is reported instead of an unknown name.
pub const UNKNOWN: &str = "unknown";

/// The workload at one end of a connection, as in Kubernetes and Istio.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Workload {
    /// Name of the topmost owner (Deployment, systemd unit, container, process, …).
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
    /// Labels and annotations that the configuration selects, in its order.
    pub labels: Arc<[Label]>,
}

/// A label or annotation of a workload. It becomes an attribute of that end of the connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    /// Attribute name, shared by all workloads with this label.
    pub key: Arc<LabelKey>,
    /// Value of the label.
    pub value: Arc<str>,
}

/// The attribute names of a label, one for each end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LabelKey {
    /// `source.` and the attribute's name.
    pub source: Box<str>,
    /// `destination.` and the attribute's name.
    pub destination: Box<str>,
}

/// The service that a client connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Service {
    /// Name of the service.
    pub name: Arc<str>,
    /// Kubernetes namespace, or empty.
    pub namespace: Arc<str>,
    /// Whether several services match. This one is the first by namespace and name.
    pub ambiguous: bool,
}

/// A shared, immutable name. Two handles of one [`Interner`] are equal if and only if their names are.
pub struct Handle<T>(Arc<T>);

/// Returns one [`Handle`] per distinct value, and frees values that no longer have a handle.
pub struct Interner<T> {
    table: Mutex<InternerTable<T>>,
}

struct InternerTable<T> {
    entries: HashTable<InternedEntry<T>>,
    hasher: foldhash::fast::RandomState,
    sweep_at: usize,
}

struct InternedEntry<T> {
    hash: u64,
    value: Weak<T>,
}

/// Number of entries at which the first sweep removes freed ones.
const FIRST_SWEEP: usize = 64;

// === impl LabelKey ===

impl LabelKey {
    /// Makes the names of both ends for an attribute such as `k8s.pod.label.app`.
    pub fn new(name: &str) -> Self {
        Self { source: format!("source.{name}").into(), destination: format!("destination.{name}").into() }
    }

    /// Returns the attribute's name without the end's prefix.
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
    /// Returns the allocation's address: a cheap key for maps that also store the handle.
    pub fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }
}

// === impl Interner ===

impl<T: Hash + Eq> Default for Interner<T> {
    fn default() -> Self {
        let hasher = foldhash::fast::RandomState::default();
        Self { table: Mutex::new(InternerTable { entries: HashTable::new(), hasher, sweep_at: FIRST_SWEEP }) }
    }
}

impl<T: Hash + Eq> Interner<T> {
    /// Returns the handle of `value`.
    pub fn intern(&self, value: T) -> Handle<T> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = table.hasher.hash_one(&value);
        let mut found = None;
        table.entries.find(hash, |entry| {
            found = entry.value.upgrade().filter(|known| entry.hash == hash && **known == value);
            found.is_some()
        });
        if let Some(known) = found {
            return Handle(known);
        }
        if table.entries.len() >= table.sweep_at {
            table.entries.retain(|entry| entry.value.strong_count() > 0);
            table.sweep_at = (table.entries.len() * 2).max(FIRST_SWEEP);
        }
        let shared = Arc::new(value);
        let entry = InternedEntry { hash, value: Arc::downgrade(&shared) };
        table.entries.insert_unique(hash, entry, |entry| entry.hash);
        Handle(shared)
    }

    /// Returns the number of entries, freed ones included: at most twice those in use, plus a constant.
    pub fn len(&self) -> usize {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
