//! Interned workloads of the built-in sources.

use std::sync::Arc;

use hashbrown::HashMap;
use longwave_pipeline::model::{Handle, Interner, Owner, Workload};

use super::cgroup::path::Named;

/// Size of the cache of executables. When it is full, it is cleared.
const MAX_EXECUTABLES: usize = 4096;

/// Interns workloads.
pub(super) struct Names {
    interner: Interner<Workload>,
    empty: Arc<str>,
    by_executable: HashMap<[u8; 16], Handle<Workload>, foldhash::fast::RandomState>,
}

// === impl Names ===

impl Names {
    /// Creates an empty interner.
    pub fn new() -> Self {
        Self { interner: Interner::default(), empty: Arc::from(""), by_executable: HashMap::default() }
    }

    /// Returns the workload that a cgroup's path names.
    pub fn of_cgroup(&self, named: &Named) -> Handle<Workload> {
        self.intern(&named.name, named.kind, &named.container_id)
    }

    /// Returns a process as workload, by its executable. `None` if that is not known.
    pub fn of_process(&mut self, owner: &Owner) -> Option<Handle<Workload>> {
        if let Some(handle) = self.by_executable.get(&owner.name) {
            return Some(handle.clone());
        }
        let handle = self.intern(owner.executable()?, "Process", "");
        if self.by_executable.len() >= MAX_EXECUTABLES {
            self.by_executable.clear();
        }
        self.by_executable.insert(owner.name, handle.clone());
        Some(handle)
    }

    fn intern(&self, name: &str, kind: &str, container_id: &str) -> Handle<Workload> {
        let empty = || Arc::clone(&self.empty);
        self.interner.intern(Workload {
            name: name.into(),
            kind: kind.into(),
            namespace: empty(),
            pod: empty(),
            node: empty(),
            container: empty(),
            container_id: if container_id.is_empty() { empty() } else { container_id.into() },
            labels: Arc::default(),
        })
    }
}
