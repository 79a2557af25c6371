//! [`Plan`]: a valid configuration.

use std::sync::Arc;

use longwave_config::{Components, ConfigError, ConfigErrors, ConfigPath, Document, Map, PipelineId, Value};

use super::fingerprint::Fingerprint;
use super::{changes, check, placement};
use crate::component::{
    Exporter, ExporterChanges, ExporterContext, Extension, ExtensionContext, Factory, Prepared, Problems,
    Processor, ProcessorContext, Receiver, ReceiverContext, Registry, Signal, find_factory,
};
use crate::runtime::telemetry::TelemetryConfig;

/// The components of a valid configuration, in its order.
pub struct Plan {
    /// Extensions, in the order of their start.
    pub extensions: Vec<PlannedExtension>,
    /// Receivers that a pipeline uses. Each has one instance for all its pipelines.
    pub receivers: Vec<PlannedReceiver>,
    /// Pipelines, in the configuration's order.
    pub pipelines: Vec<PlannedPipeline>,
    /// Exporters that a pipeline uses. Each has one instance for all pipelines of a signal.
    pub exporters: Vec<PlannedExporter>,
    /// Configuration of self-telemetry.
    pub telemetry: TelemetryConfig,
    /// Warnings about settings that are valid but probably unintended.
    pub warnings: Vec<String>,
    /// The whole configuration with defaults and with redacted secrets.
    pub effective: Value,
}

/// An extension that is started.
#[derive(Clone)]
pub struct PlannedExtension {
    /// Id of the component.
    pub id: String,
    /// Its valid configuration.
    pub prepared: Arc<Prepared<ExtensionContext, dyn Extension>>,
    pub(crate) fingerprint: Fingerprint,
}

/// A receiver and its pipelines.
#[derive(Clone)]
pub struct PlannedReceiver {
    /// Id of the component.
    pub id: String,
    /// Its valid configuration.
    pub prepared: Arc<Prepared<ReceiverContext, dyn Receiver>>,
    /// Its pipelines, as indices of [`Plan::pipelines`].
    pub pipelines: Vec<usize>,
    pub(crate) fingerprint: Fingerprint,
}

/// A pipeline: its processors and its exporters.
pub struct PlannedPipeline {
    /// Id of the pipeline.
    pub id: String,
    /// Its signal.
    pub signal: Signal,
    /// Its processors, in the order of the flow.
    pub processors: Vec<PlannedProcessor>,
    /// Its exporters, as indices of [`Plan::exporters`].
    pub exporters: Vec<usize>,
    /// Fingerprint of the pipeline without its receivers and exporters.
    pub(crate) fingerprint: Fingerprint,
}

/// A processor of one pipeline.
pub struct PlannedProcessor {
    /// Id of the component.
    pub id: String,
    /// Its valid configuration.
    pub prepared: Arc<Prepared<ProcessorContext, dyn Processor>>,
    /// Whether it turns records into windows.
    pub aggregates: bool,
}

/// An exporter of one signal.
#[derive(Clone)]
pub struct PlannedExporter {
    /// Id of the component.
    pub id: String,
    /// Its signal.
    pub signal: Signal,
    /// Its valid configuration.
    pub prepared: Arc<Prepared<ExporterContext, dyn Exporter>>,
    /// Changes to what it sends, by the processors of its pipelines.
    pub changes: ExporterChanges,
    pub(crate) fingerprint: Fingerprint,
}

/// The sections of all kinds of components.
struct Sections<'a> {
    extensions: Section<'a, ExtensionContext, dyn Extension>,
    receivers: Section<'a, ReceiverContext, dyn Receiver>,
    processors: Section<'a, ProcessorContext, dyn Processor>,
    exporters: Section<'a, ExporterContext, dyn Exporter>,
}

/// The configured components of one section.
pub(super) struct Section<'a, X, T: ?Sized> {
    pub entries: Vec<SectionEntry<'a, X, T>>,
}

pub(super) struct SectionEntry<'a, X, T: ?Sized> {
    pub id: String,
    /// `None` if the type is unknown, which has already been reported.
    pub factory: Option<&'a Factory<X, T>>,
    /// `None` if the configuration is invalid, which has already been reported.
    pub prepared: Option<Arc<Prepared<X, T>>>,
    fingerprint: Fingerprint,
}

// === impl Plan ===

impl Plan {
    /// Describes the pipelines in one line: `logs: bpf -> filter, workload -> otlp_grpc; metrics: …`.
    pub fn describe_pipelines(&self) -> String {
        let describe = |(index, pipeline): (usize, &PlannedPipeline)| {
            let receivers = self.receivers.iter().filter(|receiver| receiver.pipelines.contains(&index));
            let receivers: Vec<&str> = receivers.map(|receiver| receiver.id.as_str()).collect();
            let processors: Vec<&str> =
                pipeline.processors.iter().map(|processor| processor.id.as_str()).collect();
            let exporters: Vec<&str> =
                pipeline.exporters.iter().map(|index| self.exporters[*index].id.as_str()).collect();
            let stages = [receivers, processors, exporters].map(|ids| ids.join(", "));
            let stages: Vec<String> = stages.into_iter().filter(|ids| !ids.is_empty()).collect();
            format!("{}: {}", pipeline.id, stages.join(" -> "))
        };
        let pipelines: Vec<String> = self.pipelines.iter().enumerate().map(describe).collect();
        pipelines.join("; ")
    }

    /// Checks a whole configuration.
    ///
    /// # Errors
    /// All problems of the configuration.
    pub fn new(document: &Document, registry: &Registry) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let sections = Sections::new(document, registry, &mut errors);
        let Sections { extensions, receivers, processors, exporters } = &sections;
        check::extensions(document, extensions, processors, exporters, &mut errors);
        check::unshared(extensions, &mut errors);
        check::presence(document, &mut errors);
        check::pipelines(document, receivers, processors, exporters, &mut errors);
        changes::check(document, processors, &mut errors);
        let misplaced = placement::placement(document, processors, &mut errors);
        let telemetry = telemetry(document, &mut errors);
        if !errors.is_empty() {
            return Err(ConfigErrors(errors));
        }
        let mut warnings = check::unused(document);
        warnings.extend(misplaced);
        let effective = effective(document, &sections, &telemetry)?;
        let started = document.service.extensions.iter().map(|id| {
            let (id, _, prepared) = extensions.ready(&id.to_string());
            let fingerprint = extensions.fingerprint(&id);
            PlannedExtension { id, prepared, fingerprint }
        });
        let mut plan = Self {
            extensions: started.collect(),
            receivers: Vec::new(),
            pipelines: Vec::new(),
            exporters: Vec::new(),
            telemetry,
            warnings,
            effective,
        };
        for (id, stages) in &document.service.pipelines {
            plan.add_pipeline(id, stages, &sections);
        }
        Ok(plan)
    }

    /// Checks only the section of each component and that of self-telemetry, for a document that has other errors.
    pub fn check_configs(document: &Document, registry: &Registry) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        Sections::new(document, registry, &mut errors);
        telemetry(document, &mut errors);
        errors
    }

    /// Returns [`Self::effective`] as YAML that can be loaded again: `$` is escaped as `$$`.
    ///
    /// # Errors
    /// The value cannot be serialized.
    pub fn to_yaml(&self) -> Result<String, ConfigError> {
        longwave_config::to_yaml(&escaped(&self.effective))
    }

    fn add_pipeline(
        &mut self,
        id: &PipelineId,
        stages: &longwave_config::PipelineSection,
        sections: &Sections<'_>,
    ) {
        let Sections { extensions, receivers, processors, exporters } = sections;
        let index = self.pipelines.len();
        let signal = id.signal();
        for receiver in &stages.receivers {
            let (name, _, prepared) = receivers.ready(&receiver.to_string());
            match self.receivers.iter_mut().find(|planned| planned.id == name) {
                Some(planned) => planned.pipelines.push(index),
                None => {
                    let (pipelines, fingerprint) = (vec![index], receivers.fingerprint(&name));
                    self.receivers.push(PlannedReceiver { id: name, prepared, pipelines, fingerprint });
                }
            }
        }
        if signal == Signal::Logs {
            let fed = self.receivers.iter_mut().filter(|planned| planned.pipelines.contains(&index));
            fed.for_each(|planned| planned.fingerprint.set_wants_opens());
        }
        let used = |ids: &[(&str, String)]| ids.iter().map(|(_, id)| extensions.fingerprint(id)).collect();
        let planned = stages.processors.iter().map(|processor| {
            let (id, factory, prepared) = processors.ready(&processor.to_string());
            let aggregates = factory.about.flow.is_some_and(|(input, output)| input != output);
            PlannedProcessor { id, prepared, aggregates }
        });
        let planned_processors: Vec<PlannedProcessor> = planned.collect();
        let of_processor = |PlannedProcessor { id, prepared, .. }: &PlannedProcessor| {
            processors.fingerprint(id).with_uses(used(&prepared.extensions))
        };
        let uses = planned_processors.iter().map(of_processor).collect();
        let fingerprint = Fingerprint::new(&id.to_string(), Value::Null).with_uses(uses);
        let mut targets = Vec::new();
        let exporter_changes = changes::changes(stages, processors);
        for exporter in &stages.exporters {
            let (name, _, prepared) = exporters.ready(&exporter.to_string());
            let known =
                self.exporters.iter().position(|planned| planned.id == name && planned.signal == signal);
            targets.push(known.unwrap_or_else(|| {
                let changes = exporter_changes.clone();
                let fingerprint = exporters.fingerprint(&name).with_uses(used(&prepared.extensions));
                let fingerprint = fingerprint.with_changes(changes.clone());
                self.exporters.push(PlannedExporter { id: name, signal, prepared, changes, fingerprint });
                self.exporters.len() - 1
            }));
        }
        self.pipelines.push(PlannedPipeline {
            id: id.to_string(),
            signal,
            processors: planned_processors,
            exporters: targets,
            fingerprint,
        });
    }
}

// === impl Sections ===

impl<'a> Sections<'a> {
    fn new(document: &Document, registry: &'a Registry, errors: &mut Vec<ConfigError>) -> Self {
        Self {
            extensions: Section::new("extensions", &document.extensions, &registry.extensions, errors),
            receivers: Section::new("receivers", &document.receivers, &registry.receivers, errors),
            processors: Section::new("processors", &document.processors, &registry.processors, errors),
            exporters: Section::new("exporters", &document.exporters, &registry.exporters, errors),
        }
    }
}

// === impl Section ===

impl<'a, X: 'static, T: ?Sized + 'static> Section<'a, X, T> {
    fn new(
        name: &str,
        configured: &Components,
        factories: &'a [Factory<X, T>],
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        let mut entries = Vec::new();
        for (id, section) in configured {
            let text = id.to_string();
            let fingerprint = Fingerprint::new(&text, section.clone());
            let mut entry = SectionEntry { id: text.clone(), factory: None, prepared: None, fingerprint };
            match find_factory(factories, name, id.kind(), &text) {
                Err(error) => errors.push(error),
                Ok(factory) => {
                    entry.factory = Some(factory);
                    match factory.prepare(section, &ConfigPath::from(name).child(id)) {
                        Ok(prepared) => entry.prepared = Some(Arc::new(prepared)),
                        Err(found) => errors.extend(found.0),
                    }
                }
            }
            entries.push(entry);
        }
        Self { entries }
    }

    /// Returns the configured component with this id.
    pub(super) fn get(&self, id: &str) -> Option<&SectionEntry<'a, X, T>> {
        self.entries.iter().find(|entry| entry.id == id)
    }

    /// Returns the component with this id. Called after the checks, which guarantee that it is configured and valid.
    fn ready(&self, id: &str) -> (String, &'a Factory<X, T>, Arc<Prepared<X, T>>) {
        let found =
            self.get(id).and_then(|e| Some((e.id.clone(), e.factory?, Arc::clone(e.prepared.as_ref()?))));
        found.unwrap_or_else(|| unreachable!("{id} was checked before a plan is made"))
    }

    /// Returns the fingerprint of the component with this id. Called after the checks, as [`Self::ready`].
    fn fingerprint(&self, id: &str) -> Fingerprint {
        let found = self.get(id).map(|entry| entry.fingerprint.clone());
        found.unwrap_or_else(|| Fingerprint::new(id, Value::Null))
    }

    fn effective(&self) -> Value {
        let mut map = Map::new();
        for entry in &self.entries {
            if let Some(prepared) = &entry.prepared {
                map.insert(entry.id.clone(), prepared.effective.clone());
            }
        }
        Value::Map(map)
    }
}

fn telemetry(document: &Document, errors: &mut Vec<ConfigError>) -> TelemetryConfig {
    let path = ConfigPath::from("service::telemetry");
    let config = match &document.service.telemetry {
        Value::Null => TelemetryConfig::default(),
        section => longwave_config::decode::<TelemetryConfig>(section, &path).unwrap_or_else(|found| {
            errors.extend(found);
            TelemetryConfig::default()
        }),
    };
    let mut problems = Problems::default();
    config.validate(&mut problems);
    errors.extend(problems.into_errors(&path));
    config
}

/// Doubles every `$` in texts, so that loading the value expands nothing.
fn escaped(value: &Value) -> Value {
    match value {
        Value::Str(text) => Value::Str(text.replace('$', "$$")),
        Value::List(list) => Value::List(list.iter().map(escaped).collect()),
        Value::Map(map) => Value::Map(map.iter().map(|(key, value)| (key.clone(), escaped(value))).collect()),
        other => other.clone(),
    }
}

fn effective(
    document: &Document,
    sections: &Sections<'_>,
    telemetry: &TelemetryConfig,
) -> Result<Value, ConfigErrors> {
    let Sections { extensions, receivers, processors, exporters } = sections;
    let mut pipelines = Map::new();
    for (id, stages) in &document.service.pipelines {
        let mut map = Map::new();
        for (key, ids) in [
            ("receivers", &stages.receivers),
            ("processors", &stages.processors),
            ("exporters", &stages.exporters),
        ] {
            map.insert(
                key.to_owned(),
                Value::List(ids.iter().map(|id| Value::Str(id.to_string())).collect()),
            );
        }
        pipelines.insert(id.to_string(), Value::Map(map));
    }
    let mut service = Map::new();
    if !document.service.extensions.is_empty() {
        let started = document.service.extensions.iter().map(|id| Value::Str(id.to_string()));
        service.insert("extensions".to_owned(), Value::List(started.collect()));
    }
    service.insert("telemetry".to_owned(), Value::from_serialize(telemetry)?);
    service.insert("pipelines".to_owned(), Value::Map(pipelines));
    let mut root = Map::new();
    if !extensions.entries.is_empty() {
        root.insert("extensions".to_owned(), extensions.effective());
    }
    root.insert("receivers".to_owned(), receivers.effective());
    root.insert("processors".to_owned(), processors.effective());
    root.insert("exporters".to_owned(), exporters.effective());
    root.insert("service".to_owned(), Value::Map(service));
    Ok(Value::Map(root))
}
