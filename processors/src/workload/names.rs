//! Interned workloads of the built-in sources.

use hashbrown::HashMap;
use longwave_pipeline::model::{Handle, Interner, Owner, Workload};

use super::cgroup::path::Named;

/// Maximum number of cached executables. A full cache is cleared.
const MAX_EXECUTABLES: usize = 4096;

/// Interns workloads.
#[derive(Default)]
pub(super) struct Names {
    interner: Interner<Workload>,
    by_executable: HashMap<[u8; 16], Handle<Workload>, foldhash::fast::RandomState>,
}

// === impl Names ===

impl Names {
    /// Returns the workload that a cgroup's path names.
    pub fn of_cgroup(&self, named: &Named) -> Handle<Workload> {
        self.intern(&named.name, named.kind, &named.container_id)
    }

    /// Returns the workload of a process, which is named by its executable. `None` if the executable is unknown.
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
        self.interner.intern(Workload {
            name: name.into(),
            kind: kind.into(),
            container_id: container_id.into(),
            ..Workload::default()
        })
    }
}
