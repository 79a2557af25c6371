//! Helpers for tests of several processors.

use std::sync::Arc;

use longwave_pipeline::component::{Accounting, NodeKind, ProcessorContext, Signal};

/// Returns the context of a processor in `pipeline` (`metrics` or `logs`), and the accounting that contains its node.
pub(crate) fn context(id: &str, pipeline: &str, aggregates: bool) -> (ProcessorContext, Accounting) {
    let accounting = Accounting::default();
    let signal = if pipeline.starts_with("logs") { Signal::Logs } else { Signal::Metrics };
    let node = accounting.node(NodeKind::Processor, id, pipeline, signal, aggregates);
    let meter = opentelemetry::global::meter("test");
    let context = ProcessorContext {
        id: id.to_owned(),
        pipeline: pipeline.to_owned(),
        node: Arc::clone(&node),
        meter,
        directories: Default::default(),
        shared: Default::default(),
    };
    (context, accounting)
}

/// Returns the errors of a YAML section, one per line, or the word `valid`.
pub(crate) fn problems<X: 'static, T: ?Sized + 'static>(
    factory: &longwave_pipeline::component::Factory<X, T>,
    id: &str,
    yaml: &str,
) -> String {
    let section =
        longwave_config::Value::from_serialize(&serde_yaml::from_str::<serde_yaml::Value>(yaml).unwrap())
            .unwrap();
    let path = longwave_config::ConfigPath::from(format!("processors::{id}").as_str());
    match factory.prepare(&section, &path) {
        Ok(_) => "valid".to_owned(),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}
