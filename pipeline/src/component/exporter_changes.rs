//! [`ExporterChanges`]: changes of processors that the exporters of their pipeline apply.

use crate::component::attribute_action::AttributeAction;
use crate::component::batch_config::BatchConfig;

/// Changes of processors that exporters apply, because batches contain neither the resource nor requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExporterChanges {
    /// Changes to the resource.
    pub resource: Vec<AttributeAction>,
    /// Changes to the attributes of log records. Windows have their attributes in their keys.
    pub log_attributes: Vec<AttributeAction>,
    /// How requests are merged and split. Several processors must have the same settings.
    pub batch: Option<BatchConfig>,
}

// === impl ExporterChanges ===

impl ExporterChanges {
    /// Adds the changes of a later processor.
    pub(crate) fn extend(&mut self, later: &Self) {
        self.resource.extend_from_slice(&later.resource);
        self.log_attributes.extend_from_slice(&later.log_attributes);
        self.batch = later.batch.or(self.batch);
    }
}
