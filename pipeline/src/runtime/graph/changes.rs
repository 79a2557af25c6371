//! Changes of processors that the exporters of their pipeline apply.

use longwave_config::{ConfigError, ConfigPath, Document, PipelineSection};

use super::plan::Section;
use crate::component::{ExporterChanges, Processor, ProcessorContext, Signal};

/// Returns the changes of all processors of a pipeline.
pub(super) fn changes(
    stages: &PipelineSection,
    processors: &Section<'_, ProcessorContext, dyn Processor>,
) -> ExporterChanges {
    let mut all = ExporterChanges::default();
    for id in &stages.processors {
        if let Some(prepared) = processors.get(&id.to_string()).and_then(|entry| entry.prepared.as_ref()) {
            all.extend(&prepared.exporter_changes);
        }
    }
    all
}

/// Reports exporters in several pipelines of one signal that change what they send in different ways. The pipelines share one instance of
/// the exporter.
pub(super) fn check(
    document: &Document,
    processors: &Section<'_, ProcessorContext, dyn Processor>,
    errors: &mut Vec<ConfigError>,
) {
    let pipelines: Vec<_> = document
        .service
        .pipelines
        .iter()
        .map(|(id, stages)| (id, stages, changes(stages, processors)))
        .collect();
    for (position, (id, stages, own)) in pipelines.iter().enumerate() {
        let path = ConfigPath::from("service::pipelines").child(id);
        if has_several_batches(stages, processors) {
            let message = "has several batch processors with different settings: keep one of them";
            errors.push(ConfigError::new(path.clone(), message));
        }
        for exporter in &stages.exporters {
            let difference = pipelines[..position].iter().find_map(|(earlier, stages, changes)| {
                let is_shared = earlier.signal() == id.signal() && stages.exporters.contains(exporter);
                Some((earlier, difference(id.signal(), own, changes).filter(|_| is_shared)?))
            });
            if let Some((other, (what, processor))) = difference {
                errors.push(ConfigError::new(
                    path.clone(),
                    format!(
                        "exporters::{exporter} is also in service::pipelines::{other}, which changes {what} in another way: use the same \
                         {processor} processors in both, or another exporter such as exporters::{}/2",
                        exporter.kind()
                    ),
                ));
            }
        }
    }
}

/// Returns what two pipelines change in different ways, and the type of the processors that do.
fn difference(
    signal: Signal,
    one: &ExporterChanges,
    other: &ExporterChanges,
) -> Option<(&'static str, &'static str)> {
    if one.resource != other.resource {
        Some(("the resource", "resource"))
    } else if signal == Signal::Logs && one.log_attributes != other.log_attributes {
        Some(("attributes", "attributes"))
    } else if one.batch != other.batch {
        Some(("the size of requests", "batch"))
    } else {
        None
    }
}

fn has_several_batches(
    stages: &PipelineSection,
    processors: &Section<'_, ProcessorContext, dyn Processor>,
) -> bool {
    let prepared =
        stages.processors.iter().filter_map(|id| processors.get(&id.to_string())?.prepared.as_ref());
    let mut batches = prepared.filter_map(|prepared| prepared.exporter_changes.batch);
    batches.next().is_some_and(|first| batches.any(|batch| batch != first))
}
