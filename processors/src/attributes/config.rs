//! Settings of `attributes`.

use std::collections::BTreeMap;

use longwave_config::Value;
use longwave_pipeline::component::{AttributeAction, ComponentConfig, ExporterChanges, Problems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `attributes`: actions, applied in their order.
///
/// ```yaml
/// processors:
///   attributes:
///     actions:
///       - {key: k8s.cluster.name, value: eu-1, action: insert}
///       - {key: source.k8s.pod.name, action: delete}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AttributesConfig {
    /// Changes to the attributes, applied in their order. At least one.
    #[schemars(example = [BTreeMap::from([("key", "k8s.cluster.name"), ("value", "eu-1"), ("action", "insert")])])]
    pub actions: Vec<AttributeAction>,
    /// Not supported, whatever it is.
    #[serde(skip_serializing)]
    #[schemars(skip)]
    pub(super) include: Option<Value>,
    /// Not supported, whatever it is.
    #[serde(skip_serializing)]
    #[schemars(skip)]
    pub(super) exclude: Option<Value>,
}

// === impl AttributesConfig ===

impl ComponentConfig for AttributesConfig {
    fn validate(&self, problems: &mut Problems) {
        if self.actions.is_empty() {
            problems.at(
                "actions",
                "must have at least one action, for example {key: k8s.cluster.name, value: eu-1, action: insert}",
            );
        }
        for (index, action) in self.actions.iter().enumerate() {
            action.validate(&format!("actions::{index}"), problems);
        }
        for (key, section) in [("include", &self.include), ("exclude", &self.exclude)] {
            if section.is_some() {
                problems.at(
                    key,
                    "is not supported: the actions apply to everything in the pipeline; to change a part, use a second pipeline with the processor filter",
                );
            }
        }
    }

    fn exporter_changes(&self) -> ExporterChanges {
        ExporterChanges { log_attributes: self.actions.clone(), ..ExporterChanges::default() }
    }
}
