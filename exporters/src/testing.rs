//! What the tests of several exporters share.

use longwave_pipeline::component::{ExporterContext, Signal};

/// Returns the context of an exporter with this resource. Its self-telemetry goes nowhere.
pub(crate) fn context(id: &str, signal: Signal, resource: &[(&str, &str)]) -> ExporterContext {
    let resource: Vec<_> =
        resource.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    ExporterContext {
        id: id.to_owned(),
        signal,
        resource: resource.into(),
        meter: opentelemetry::global::meter("test"),
        authenticators: Default::default(),
        storages: Default::default(),
        log_edits: Default::default(),
        batch: None,
    }
}
