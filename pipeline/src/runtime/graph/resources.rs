//! The resource that each exporter sends.

use longwave_config::{ConfigError, ConfigPath, Document, PipelineSection};

use super::plan::Section;
use crate::component::{AttributeAction, Processor, ProcessorContext};

/// Returns the changes to the resource by all processors of a pipeline.
pub(super) fn actions(
    stages: &PipelineSection,
    processors: &Section<'_, ProcessorContext, dyn Processor>,
) -> Vec<AttributeAction> {
    let prepared =
        stages.processors.iter().filter_map(|id| processors.get(&id.to_string())?.prepared.as_ref());
    prepared.flat_map(|prepared| prepared.resource_actions.clone()).collect()
}

/// Reports exporters in several pipelines of one signal that change the resource in different ways. The pipelines share one instance of the
/// exporter, which has one resource.
pub(super) fn resources(
    document: &Document,
    processors: &Section<'_, ProcessorContext, dyn Processor>,
    errors: &mut Vec<ConfigError>,
) {
    let pipelines: Vec<_> = document
        .service
        .pipelines
        .iter()
        .map(|(id, stages)| (id, stages, actions(stages, processors)))
        .collect();
    for (position, (id, stages, own)) in pipelines.iter().enumerate() {
        for exporter in &stages.exporters {
            let other = pipelines[..position].iter().find(|(earlier, stages, actions)| {
                earlier.signal() == id.signal() && stages.exporters.contains(exporter) && actions != own
            });
            if let Some((other, ..)) = other {
                errors.push(ConfigError::new(
                    ConfigPath::from("service::pipelines").child(id),
                    format!(
                        "exporter \"{exporter}\" is also in pipeline \"{other}\", which changes the resource in another way: use the same \
                         resource processors in both, or another exporter such as \"{}/2\"",
                        exporter.kind()
                    ),
                ));
            }
        }
    }
}
