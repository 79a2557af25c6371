//! What a new component gets from the runtime.

use std::sync::Arc;

use longwave_config::Signal;
use opentelemetry::metrics::Meter;

use crate::component::accounting::Node;
use crate::component::directory::Directories;
use crate::component::shared::Shared;

/// What a new extension gets.
#[derive(Clone)]
pub struct ExtensionContext {
    /// Its id.
    pub id: String,
    /// For the component's own measurements.
    pub meter: Meter,
}

/// What a new receiver gets.
#[derive(Clone)]
pub struct ReceiverContext {
    /// Its id.
    pub id: String,
    /// Signals of the pipelines that it feeds: `open` records are wanted only where logs are.
    pub signals: Vec<Signal>,
    /// For the component's own measurements (kernel-side losses, pass durations, …).
    pub meter: Meter,
}

/// What a new processor gets.
#[derive(Clone)]
pub struct ProcessorContext {
    /// Its id.
    pub id: String,
    /// Its pipeline's id.
    pub pipeline: String,
    /// Where it says what it dropped (by reason), folded and holds. What goes in and out is counted outside.
    pub node: Arc<Node>,
    /// For the component's own measurements.
    pub meter: Meter,
    /// Who is who, by the ids of the extensions that know.
    pub directories: Directories,
    /// What the graph's components use together.
    pub shared: Shared,
}

/// What a new exporter gets.
#[derive(Clone)]
pub struct ExporterContext {
    /// Its id.
    pub id: String,
    /// The signal that it exports.
    pub signal: Signal,
    /// Who exports: `service.name`, `service.version`, `host.name`, … in this order.
    pub resource: Arc<Vec<(String, String)>>,
    /// For the component's own measurements.
    pub meter: Meter,
}
