//! Checks of a configuration as a whole. The messages use the Collector's wording.

use longwave_config::{ComponentId, ConfigError, ConfigPath, Document, near_miss};

use super::plan::Section;
use crate::component::{
    About, DataKind, Exporter, ExporterContext, Extension, ExtensionContext, Processor, ProcessorContext,
    Receiver, ReceiverContext, Signal,
};

/// Checks that started extensions are configured, and that extensions which components use are started.
pub(super) fn extensions(
    document: &Document,
    extensions: &Section<'_, ExtensionContext, dyn Extension>,
    processors: &Section<'_, ProcessorContext, dyn Processor>,
    exporters: &Section<'_, ExporterContext, dyn Exporter>,
    errors: &mut Vec<ConfigError>,
) {
    let started = &document.service.extensions;
    for (position, id) in started.iter().enumerate() {
        let text = id.to_string();
        let message = if started[..position].contains(id) {
            format!("references extension \"{text}\" multiple times")
        } else if extensions.get(&text).is_none() {
            format!(
                "references extension \"{text}\" which is not configured{}",
                meant(&text, configured(extensions))
            )
        } else {
            continue;
        };
        errors.push(ConfigError::new("service::extensions", message));
    }
    references_to_extensions("processors", processors, document, extensions, errors);
    references_to_extensions("exporters", exporters, document, extensions, errors);
}

/// Checks that no two extensions use the same thing of which each needs its own, such as a directory.
pub(super) fn unshared(
    extensions: &Section<'_, ExtensionContext, dyn Extension>,
    errors: &mut Vec<ConfigError>,
) {
    let mut owners: Vec<(&(&'static str, String), &str)> = Vec::new();
    for entry in &extensions.entries {
        let owned = entry.prepared.iter().flat_map(|prepared| &prepared.unshared);
        for owned in owned {
            if let Some((_, owner)) = owners.iter().find(|(other, _)| *other == owned) {
                let (key, value) = owned;
                let message = format!("{value:?} belongs to extensions::{owner}: set another one");
                let path = ConfigPath::from("extensions").child(&entry.id);
                errors.push(ConfigError::new(path, message).field(*key));
            }
            owners.push((owned, &entry.id));
        }
    }
}

/// Checks that the extensions that the components of a section use are configured and started.
fn references_to_extensions<X: 'static, T: ?Sized + 'static>(
    name: &str,
    section: &Section<'_, X, T>,
    document: &Document,
    extensions: &Section<'_, ExtensionContext, dyn Extension>,
    errors: &mut Vec<ConfigError>,
) {
    let started = &document.service.extensions;
    for entry in &section.entries {
        let Some(prepared) = &entry.prepared else { continue };
        for (key, id) in &prepared.extensions {
            let message = if extensions.get(id).is_none() {
                let valid: Vec<_> = prepared.built_in.iter().copied().chain(configured(extensions)).collect();
                let list = if valid.is_empty() {
                    String::new()
                } else {
                    format!(" (valid values: [{}])", valid.join(" "))
                };
                let meant = meant(id, valid.iter().copied());
                format!("references extension \"{id}\" which is not configured{list}{meant}")
            } else if !started.iter().any(|started| started.to_string() == *id) {
                format!("references extension \"{id}\" which is not started: add it to service::extensions")
            } else {
                continue;
            };
            let path = ConfigPath::from(name).child(&entry.id);
            errors.push(ConfigError::new(path, message).field(*key));
        }
    }
}

/// Returns the ids of the extensions of known types. The others have already been reported.
fn configured<'a>(
    extensions: &'a Section<'_, ExtensionContext, dyn Extension>,
) -> impl Iterator<Item = &'a str> {
    extensions.entries.iter().filter(|entry| entry.factory.is_some()).map(|entry| entry.id.as_str())
}

/// Checks that there are receivers, exporters and pipelines.
pub(super) fn presence(document: &Document, errors: &mut Vec<ConfigError>) {
    for (empty, section) in
        [(document.receivers.is_empty(), "receiver"), (document.exporters.is_empty(), "exporter")]
    {
        if empty {
            let message = format!("no {section} configuration specified in config");
            errors.push(ConfigError::new(ConfigPath::root(), message));
        }
    }
    if document.service.pipelines.is_empty() {
        errors.push(ConfigError::new("service::pipelines", "service must have at least one pipeline"));
    }
}

/// Checks the references of every pipeline and the type of data between its components.
pub(super) fn pipelines(
    document: &Document,
    receivers: &Section<'_, ReceiverContext, dyn Receiver>,
    processors: &Section<'_, ProcessorContext, dyn Processor>,
    exporters: &Section<'_, ExporterContext, dyn Exporter>,
    errors: &mut Vec<ConfigError>,
) {
    for (id, stages) in &document.service.pipelines {
        let path = ConfigPath::from("service::pipelines").child(id);
        let signal = id.signal();
        let valid = errors.len();
        for (ids, role) in [(&stages.receivers, "receiver"), (&stages.exporters, "exporter")] {
            if ids.is_empty() {
                errors.push(ConfigError::new(path.clone(), format!("must have at least one {role}")));
            }
        }
        let mut report = |message: String| errors.push(ConfigError::new(path.clone(), message));
        references(&stages.receivers, "receiver", receivers, signal, &mut report);
        references(&stages.processors, "processor", processors, signal, &mut report);
        references(&stages.exporters, "exporter", exporters, signal, &mut report);
        // The type of data is checked only if all components are valid.
        if errors.len() == valid {
            let mut report = |message: String| errors.push(ConfigError::new(path.clone(), message));
            flow(&stages.processors, processors, signal, &mut report);
        }
    }
}

/// Returns warnings about configured components that no pipeline uses.
pub(super) fn unused(document: &Document) -> Vec<String> {
    let mut warnings = Vec::new();
    let pipelines = || document.service.pipelines.values();
    for (id, _) in &document.extensions {
        if !document.service.extensions.contains(id) {
            warnings.push(format!("extensions::{id}: service::extensions does not start it"));
        }
    }
    for (id, _) in &document.receivers {
        if !pipelines().any(|stages| stages.receivers.contains(id)) {
            warnings.push(format!("receivers::{id}: no pipeline uses it"));
        }
    }
    for (id, _) in &document.processors {
        if !pipelines().any(|stages| stages.processors.contains(id)) {
            warnings.push(format!("processors::{id}: no pipeline uses it"));
        }
    }
    for (id, _) in &document.exporters {
        if !pipelines().any(|stages| stages.exporters.contains(id)) {
            warnings.push(format!("exporters::{id}: no pipeline uses it"));
        }
    }
    warnings
}

fn meant<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> String {
    near_miss(text, known).map(|meant| format!(" (did you mean {meant:?}?)")).unwrap_or_default()
}

fn references<X: 'static, T: ?Sized + 'static>(
    ids: &[ComponentId],
    role: &str,
    section: &Section<'_, X, T>,
    signal: Signal,
    report: &mut dyn FnMut(String),
) {
    for (position, id) in ids.iter().enumerate() {
        let text = id.to_string();
        if ids[..position].contains(id) {
            report(format!("references {role} \"{text}\" multiple times"));
            continue;
        }
        let Some(entry) = section.get(&text) else {
            let meant = meant(&text, section.entries.iter().map(|entry| entry.id.as_str()));
            report(format!("references {role} \"{text}\" which is not configured{meant}"));
            continue;
        };
        if let Some(About { signals, .. }) = entry.factory.map(|factory| factory.about)
            && !signals.contains(&signal)
        {
            let fits: Vec<_> = signals.iter().map(ToString::to_string).collect();
            report(format!(
                "{role}s::{text} cannot be used in a {signal} pipeline: move it to a {} pipeline",
                fits.join(" or ")
            ));
        }
    }
}

/// Checks that each component takes the type of data that the one before it sends.
fn flow(
    ids: &[ComponentId],
    processors: &Section<'_, ProcessorContext, dyn Processor>,
    signal: Signal,
    report: &mut dyn FnMut(String),
) {
    let mut carried = DataKind::Records;
    let mut sender = "its receivers".to_owned();
    for id in ids {
        let text = id.to_string();
        let Some((input, output)) = processors.get(&text).and_then(|e| e.factory).and_then(|f| f.about.flow)
        else {
            return;
        };
        let (input, output) = (input.at(signal, carried), output.at(signal, carried));
        if input == DataKind::Windows && carried == DataKind::Records {
            report(format!(
                "processors::{text} takes {input}, but there it would receive {carried}: move it after the window processor"
            ));
            return;
        }
        if input != carried && output == carried {
            report(format!(
                "processors::{text} takes {input}, but {sender} outputs {carried} already: a pipeline has one such processor, remove processors::{text}"
            ));
            return;
        }
        if input != carried {
            report(format!(
                "processors::{text} takes {input}, but {sender} outputs {carried}: move it before the window processor"
            ));
            return;
        }
        if output != carried {
            sender = format!("processors::{text}");
        }
        carried = output;
    }
    let wanted = DataKind::exported(signal);
    match (wanted, carried) {
        (DataKind::Windows, DataKind::Records) => report(
            "its exporters would receive raw connection records: a metrics pipeline needs a window processor (add \"window\" as \
             the last of its processors, or make it a logs pipeline)"
                .to_owned(),
        ),
        (DataKind::Records, DataKind::Windows) => report(format!(
            "its exporters would receive windows from {sender}: a logs pipeline exports one record per observation (remove the window \
             processor, or make it a metrics pipeline)"
        )),
        _ => {}
    }
}
