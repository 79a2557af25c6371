//! Checks that a processor runs after those that set what it reads, and that one which should be the first is.

use longwave_config::{ConfigError, ConfigPath, Document};

use super::plan::Section;
use crate::component::{Processor, ProcessorContext};

/// Reports processors that run before the processor whose results they read. Returns a warning for each that is not the first but should be,
/// and for each that reads the results of a
/// processor that its pipeline does not have. This is valid, because a record file can contain the results.
pub(super) fn placement(
    document: &Document,
    processors: &Section<'_, ProcessorContext, dyn Processor>,
    errors: &mut Vec<ConfigError>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for (id, stages) in &document.service.pipelines {
        let path = ConfigPath::from("service::pipelines").child(id);
        let ids: Vec<String> = stages.processors.iter().map(ToString::to_string).collect();
        let is_of_type = |id: &&String, component_type: &str| {
            let factory = processors.get(id).and_then(|entry| entry.factory);
            factory.is_some_and(|factory| factory.about.component_type == component_type)
        };
        for (position, reader) in ids.iter().enumerate() {
            let prepared = processors.get(reader).and_then(|entry| entry.prepared.as_ref());
            if position > 0 && prepared.is_some_and(|prepared| prepared.is_first) {
                warnings.push(format!(
                    "{path}: processors::{reader} should be the first: what the processors before it store is not limited (move it before processors::{})",
                    ids[0]
                ));
            }
            for (key, setter) in prepared.map(|prepared| prepared.reads_from.as_slice()).unwrap_or_default() {
                if ids[..position].iter().any(|id| is_of_type(&id, setter)) {
                    continue;
                }
                match ids[position + 1..].iter().find(|id| is_of_type(id, setter)) {
                    Some(later) => errors.push(ConfigError::new(
                        path.clone(),
                        format!("{key} of processors::{reader} needs processors::{later} to run first: move it before processors::{reader}"),
                    )),
                    None => warnings.push(format!(
                        "{path}: {key} of processors::{reader} needs a processor of the type {setter}. Without it, names are unknown unless \
                         a record file has them: add one before processors::{reader}"
                    )),
                }
            }
        }
    }
    warnings
}
