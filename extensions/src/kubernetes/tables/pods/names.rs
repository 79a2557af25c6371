//! [`PodNames`]: the workload of a pod and of its containers.

use std::sync::Arc;

use longwave_pipeline::model::{Handle, Interner, Label, LabelKey, Workload};

use crate::kubernetes::objects::{ContainerId, ContainerStatus, Pod, pick};
use crate::kubernetes::owner;
use crate::kubernetes::tables::string_pool::StringPool;

/// Selects what is stored of pods, as configured.
#[derive(Debug, Default)]
pub(in crate::kubernetes) struct SelectedFields {
    /// The node whose pods' containers are stored; empty for all nodes.
    pub node: String,
    /// Keys of labels, with their attributes.
    pub labels: Vec<(String, Arc<LabelKey>)>,
    /// Keys of annotations, with their attributes.
    pub annotations: Vec<(String, Arc<LabelKey>)>,
}

/// Creates workloads. Equal ones share their memory.
pub(super) struct PodNames {
    selected: SelectedFields,
    strings: StringPool,
    interner: Interner<Workload>,
}

// === impl PodNames ===

impl PodNames {
    pub fn new(selected: SelectedFields) -> Self {
        Self { selected, strings: StringPool::default(), interner: Interner::default() }
    }

    /// Returns whether the containers of pods on the node are stored.
    pub fn is_selected_node(&self, node: &str) -> bool {
        self.selected.node.is_empty() || self.selected.node == node
    }

    /// Returns the pod as a whole. Its container is empty.
    ///
    /// # Errors
    /// Its labels or annotations cannot be decoded.
    pub fn workload(&mut self, pod: &Pod<'_>) -> Result<Handle<Workload>, serde_json::Error> {
        let owner = owner::of(&pod.metadata);
        let labels = self.labels(pod)?;
        let workload = Workload {
            name: self.strings.get(&owner.name),
            kind: self.strings.get(&owner.kind),
            namespace: self.strings.get(&pod.metadata.namespace),
            pod: if owner.kind == "Pod" {
                self.strings.get(&owner.name)
            } else {
                Arc::from(&*pod.metadata.name)
            },
            node: self.strings.get(pod.node()),
            container: self.strings.get(""),
            container_id: self.strings.get(""),
            labels,
        };
        Ok(self.interner.intern(workload))
    }

    fn labels(&mut self, pod: &Pod<'_>) -> Result<Arc<[Label]>, serde_json::Error> {
        let mut labels = Vec::new();
        let meta = &pod.metadata;
        for (raw, selected) in
            [(meta.labels, &self.selected.labels), (meta.annotations, &self.selected.annotations)]
        {
            let names: Vec<&str> = selected.iter().map(|(name, _)| &**name).collect();
            for (value, (_, key)) in pick(raw, &names)?.into_iter().zip(selected) {
                if let Some(value) = value {
                    labels.push(Label { key: Arc::clone(key), value: self.strings.get(&value) });
                }
            }
        }
        Ok(if labels.is_empty() { Arc::default() } else { labels.into() })
    }

    /// Returns a container of a pod.
    pub fn container(&mut self, status: &ContainerStatus<'_>, workload: &Workload) -> Handle<Workload> {
        self.interner.intern(Workload {
            container: self.strings.get(&status.name),
            container_id: ContainerId::digits(&status.container_id).into(),
            ..workload.clone()
        })
    }

    /// Returns the pod with the id of a container.
    pub fn with_container_id(&self, pod: &Workload, digits: &str) -> Handle<Workload> {
        self.interner.intern(Workload { container_id: digits.into(), ..pod.clone() })
    }

    #[cfg(test)]
    pub fn sizes(&self) -> [usize; 2] {
        [self.strings.len(), self.interner.len()]
    }
}
