//! Settings of `resource`.

use std::collections::BTreeMap;

use longwave_pipeline::component::{AttributeAction, ComponentConfig, ExporterChanges, Problems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `resource`: changes to the resource, applied in their order.
///
/// ```yaml
/// processors:
///   resource:
///     attributes:
///       - {key: deployment.environment.name, value: production, action: upsert}
///       - {key: host.id, action: delete}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ResourceConfig {
    /// Changes to the resource, applied in their order. At least one.
    #[schemars(example = [BTreeMap::from([("key", "deployment.environment.name"), ("value", "production"), ("action", "upsert")])])]
    pub attributes: Vec<AttributeAction>,
}

// === impl ResourceConfig ===

impl ComponentConfig for ResourceConfig {
    fn validate(&self, problems: &mut Problems) {
        if self.attributes.is_empty() {
            problems.at(
                "attributes",
                "must have at least one action, for example {key: deployment.environment.name, value: production, action: upsert}",
            );
        }
        for (index, action) in self.attributes.iter().enumerate() {
            action.validate(&format!("attributes::{index}"), problems);
        }
    }

    fn exporter_changes(&self) -> ExporterChanges {
        ExporterChanges { resource: self.attributes.clone(), ..ExporterChanges::default() }
    }
}
