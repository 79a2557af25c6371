//! What a new component receives from the runtime.

use std::sync::Arc;

use longwave_config::Signal;
use opentelemetry::metrics::Meter;

use crate::component::accounting::Node;
use crate::component::attribute_edits::AttributeEdits;
use crate::component::authenticator::Authenticators;
use crate::component::batch_config::BatchConfig;
use crate::component::directory::Directories;
use crate::component::health::Health;
use crate::component::instruments::ComponentMeter;
use crate::component::shared::Shared;
use crate::component::storage::Storages;

/// What a new extension receives.
#[derive(Clone)]
pub struct ExtensionContext {
    /// Id of the component.
    pub id: String,
    /// For the component's self-telemetry. See [`ComponentMeter`](crate::component::ComponentMeter).
    pub meter: Meter,
    /// Health of the graph.
    pub health: Health,
}

/// What a new receiver receives.
#[derive(Clone)]
pub struct ReceiverContext {
    /// Id of the component.
    pub id: String,
    /// Signals of the pipelines that it sends to. Only logs need `open` records.
    pub signals: Vec<Signal>,
    /// For the component's self-telemetry (losses in the kernel, durations of passes, …).
    pub meter: Meter,
    /// Supervises a receiver that declares its interval ([`Health::receiver`]).
    pub health: Health,
    /// Values that the components of a graph share.
    pub shared: Shared,
}

/// What a new processor receives.
#[derive(Clone)]
pub struct ProcessorContext {
    /// Id of the component.
    pub id: String,
    /// Id of the pipeline.
    pub pipeline: String,
    /// Counters for what it drops, folds and contains. The runtime counts what enters and leaves.
    pub node: Arc<Node>,
    /// For the component's self-telemetry. See [`Self::component_meter`].
    pub meter: Meter,
    /// Directories of the extensions, by id.
    pub directories: Directories,
    /// Values that the components of a graph share.
    pub shared: Shared,
}

/// What a new exporter receives.
#[derive(Clone)]
pub struct ExporterContext {
    /// Id of the component.
    pub id: String,
    /// Signal that it exports.
    pub signal: Signal,
    /// Resource attributes of Longwave: `service.name`, `service.version`, `host.name`, … in this order.
    pub resource: Arc<Vec<(String, String)>>,
    /// For the component's self-telemetry. See [`ComponentMeter`](crate::component::ComponentMeter).
    pub meter: Meter,
    /// Authenticators of the extensions, by id.
    pub authenticators: Authenticators,
    /// Storages of the extensions, by id.
    pub storages: Storages,
    /// Changes to the attributes of log records.
    pub log_edits: Arc<AttributeEdits>,
    /// How requests are merged and split, if a processor sets that.
    pub batch: Option<BatchConfig>,
}

// === impl ProcessorContext ===

impl ProcessorContext {
    /// Returns the meter whose data points have the processor and its pipeline as attributes.
    pub fn component_meter(&self) -> ComponentMeter {
        ComponentMeter::new(&self.meter, [("processor", &self.id), ("pipeline", &self.pipeline)])
    }
}

// === impl ExporterContext ===

impl ExporterContext {
    /// Returns the value of a resource attribute. `None` if the resource does not have it.
    pub fn resource_attribute(&self, key: &str) -> Option<&str> {
        self.resource.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}
