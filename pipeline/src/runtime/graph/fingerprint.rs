//! [`Fingerprint`]: whether a reload may keep a running component.

use longwave_config::Value;

use crate::component::ExporterChanges;

/// Everything in the configuration that a component depends on. A running component is kept if the next configuration has an equal one.
///
/// Contains the settings as they were written, secrets included, and is therefore never printed.
#[derive(Clone, PartialEq)]
pub(crate) struct Fingerprint {
    id: String,
    settings: Value,
    /// What the component uses: extensions, and the processors of a pipeline.
    uses: Vec<Fingerprint>,
    /// Changes to what an exporter sends.
    changes: ExporterChanges,
    /// Whether a receiver sends to a pipeline of logs, which needs opens.
    wants_opens: bool,
}

// === impl Fingerprint ===

impl Fingerprint {
    pub(super) fn new(id: &str, settings: Value) -> Self {
        let settings = if settings.is_null() { Value::Map(longwave_config::Map::new()) } else { settings };
        let (uses, changes) = (Vec::new(), ExporterChanges::default());
        Self { id: id.to_owned(), settings, uses, changes, wants_opens: false }
    }

    pub(super) fn with_uses(mut self, uses: Vec<Self>) -> Self {
        self.uses = uses;
        self
    }

    pub(super) fn with_changes(mut self, changes: ExporterChanges) -> Self {
        self.changes = changes;
        self
    }

    pub(super) fn set_wants_opens(&mut self) {
        self.wants_opens = true;
    }
}
