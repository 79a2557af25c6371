//! Interned workloads of the built-in sources.

use std::sync::Arc;

use hashbrown::HashMap;
use longwave_pipeline::model::{Handle, Interner, Label, LabelKey, Owner, Workload};

use super::cgroup::path::Named;

/// Maximum number of cached executables. A full cache is cleared.
const MAX_EXECUTABLES: usize = 4096;

/// Interns workloads.
pub(super) struct Names {
    interner: Interner<Workload>,
    runtime_key: Arc<LabelKey>,
    by_executable: HashMap<[u8; 16], Handle<Workload>, foldhash::fast::RandomState>,
}

// === impl Names ===

impl Default for Names {
    fn default() -> Self {
        Self {
            interner: Interner::default(),
            runtime_key: Arc::new(LabelKey::new("container.runtime.name")),
            by_executable: HashMap::default(),
        }
    }
}

impl Names {
    /// Returns the workload that a cgroup's path names.
    pub fn of_cgroup(&self, named: &Named) -> Handle<Workload> {
        let Named { name, kind, runtime, container_id } = named;
        let label = || Label { key: Arc::clone(&self.runtime_key), value: (*runtime).into() };
        self.interner.intern(Workload {
            name: name.as_str().into(),
            kind: (*kind).into(),
            container_id: container_id.as_str().into(),
            labels: if runtime.is_empty() { Arc::default() } else { [label()].into() },
            ..Workload::default()
        })
    }

    /// Returns the workload of a process, which is named by its executable. `None` if the executable is unknown.
    pub fn of_process(&mut self, owner: &Owner) -> Option<Handle<Workload>> {
        if let Some(handle) = self.by_executable.get(&owner.name) {
            return Some(handle.clone());
        }
        let name = (&*owner.executable()?).into();
        let handle = self.interner.intern(Workload { name, kind: "Process".into(), ..Workload::default() });
        if self.by_executable.len() >= MAX_EXECUTABLES {
            self.by_executable.clear();
        }
        self.by_executable.insert(owner.name, handle.clone());
        Some(handle)
    }
}
