//! [`Plan`]: a configuration that can run.

use std::sync::Arc;

use longwave_config::{Components, ConfigError, ConfigErrors, ConfigPath, Document, Map, PipelineId, Value};

use super::check;
use crate::component::{
    Exporter, ExporterContext, Extension, ExtensionContext, Factory, Prepared, Processor, ProcessorContext,
    Receiver, ReceiverContext, Registry, Signal, find_factory,
};
use crate::runtime::telemetry::TelemetryConfig;

/// What will run, in the order of the configuration.
pub struct Plan {
    /// Extensions, in the order of their start.
    pub extensions: Vec<PlannedExtension>,
    /// Receivers that a pipeline uses; one instance for all its pipelines.
    pub receivers: Vec<PlannedReceiver>,
    /// Pipelines.
    pub pipelines: Vec<PlannedPipeline>,
    /// Exporters that a pipeline uses; one instance for all pipelines of a signal.
    pub exporters: Vec<PlannedExporter>,
    /// Self-telemetry.
    pub telemetry: TelemetryConfig,
    /// What works, but probably not as it was meant.
    pub warnings: Vec<String>,
    /// The whole configuration with defaults filled in and secrets redacted.
    pub effective: Value,
}

/// An extension.
pub struct PlannedExtension {
    /// Id.
    pub id: String,
    /// Checked settings.
    pub prepared: Arc<Prepared<ExtensionContext, dyn Extension>>,
}

/// A receiver, and the pipelines that it feeds (indices into [`Plan::pipelines`]).
pub struct PlannedReceiver {
    /// Id.
    pub id: String,
    /// Checked settings.
    pub prepared: Arc<Prepared<ReceiverContext, dyn Receiver>>,
    /// Pipelines.
    pub pipelines: Vec<usize>,
}

/// A pipeline: processors in order, then its exporters (indices into [`Plan::exporters`]).
pub struct PlannedPipeline {
    /// Id.
    pub id: String,
    /// Signal.
    pub signal: Signal,
    /// Processors.
    pub processors: Vec<PlannedProcessor>,
    /// Exporters.
    pub exporters: Vec<usize>,
}

/// A processor of one pipeline.
pub struct PlannedProcessor {
    /// Id.
    pub id: String,
    /// Checked settings.
    pub prepared: Arc<Prepared<ProcessorContext, dyn Processor>>,
    /// Turns records into windows.
    pub aggregates: bool,
}

/// An exporter of one signal.
pub struct PlannedExporter {
    /// Id.
    pub id: String,
    /// Signal.
    pub signal: Signal,
    /// Checked settings.
    pub prepared: Arc<Prepared<ExporterContext, dyn Exporter>>,
}

/// The configured components of one section, each with its factory's word on it.
pub(super) struct Section<'a, X, T: ?Sized> {
    pub entries: Vec<Entry<'a, X, T>>,
}

pub(super) struct Entry<'a, X, T: ?Sized> {
    pub id: String,
    /// Absent where the type is unknown: that was reported already.
    pub factory: Option<&'a Factory<X, T>>,
    /// Absent where the settings are wrong: that was reported already.
    pub prepared: Option<Arc<Prepared<X, T>>>,
}

// === impl Plan ===

impl Plan {
    /// Checks a whole configuration.
    ///
    /// # Errors
    /// All at once.
    pub fn new(document: &Document, registry: &Registry) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let extensions = Section::new("extensions", &document.extensions, &registry.extensions, &mut errors);
        let receivers = Section::new("receivers", &document.receivers, &registry.receivers, &mut errors);
        let processors = Section::new("processors", &document.processors, &registry.processors, &mut errors);
        let exporters = Section::new("exporters", &document.exporters, &registry.exporters, &mut errors);
        check::extensions(document, &extensions, &processors, &mut errors);
        check::presence(document, &mut errors);
        check::pipelines(document, &receivers, &processors, &exporters, &mut errors);
        let telemetry = telemetry(document, &mut errors);
        if !errors.is_empty() {
            return Err(ConfigErrors(errors));
        }
        let warnings = check::unused(document);
        let effective = effective(document, &extensions, &receivers, &processors, &exporters, &telemetry)?;
        let started = document.service.extensions.iter().map(|id| {
            let (id, _, prepared) = extensions.ready(&id.to_string());
            PlannedExtension { id, prepared }
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
            plan.add_pipeline(id, stages, &receivers, &processors, &exporters);
        }
        Ok(plan)
    }

    /// What is wrong with the components' own settings, whatever refers to them: for a document that is wrong elsewhere.
    pub fn check_settings(document: &Document, registry: &Registry) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        Section::new("extensions", &document.extensions, &registry.extensions, &mut errors);
        Section::new("receivers", &document.receivers, &registry.receivers, &mut errors);
        Section::new("processors", &document.processors, &registry.processors, &mut errors);
        Section::new("exporters", &document.exporters, &registry.exporters, &mut errors);
        telemetry(document, &mut errors);
        errors
    }

    /// [`Self::effective`] as a configuration that can be read again: a `$` is written `$$`.
    ///
    /// # Errors
    /// None is known.
    pub fn to_yaml(&self) -> Result<String, ConfigError> {
        longwave_config::to_yaml(&escaped(&self.effective))
    }

    fn add_pipeline(
        &mut self,
        id: &PipelineId,
        stages: &longwave_config::PipelineSection,
        receivers: &Section<'_, ReceiverContext, dyn Receiver>,
        processors: &Section<'_, ProcessorContext, dyn Processor>,
        exporters: &Section<'_, ExporterContext, dyn Exporter>,
    ) {
        let index = self.pipelines.len();
        let signal = id.signal();
        for receiver in &stages.receivers {
            let (name, _, prepared) = receivers.ready(&receiver.to_string());
            match self.receivers.iter_mut().find(|planned| planned.id == name) {
                Some(planned) => planned.pipelines.push(index),
                None => self.receivers.push(PlannedReceiver { id: name, prepared, pipelines: vec![index] }),
            }
        }
        let planned = stages.processors.iter().map(|processor| {
            let (id, factory, prepared) = processors.ready(&processor.to_string());
            let aggregates = factory.about.flow.is_some_and(|(input, output)| input != output);
            PlannedProcessor { id, prepared, aggregates }
        });
        let processors = planned.collect();
        let mut targets = Vec::new();
        for exporter in &stages.exporters {
            let (name, _, prepared) = exporters.ready(&exporter.to_string());
            let known =
                self.exporters.iter().position(|planned| planned.id == name && planned.signal == signal);
            targets.push(known.unwrap_or_else(|| {
                self.exporters.push(PlannedExporter { id: name, signal, prepared });
                self.exporters.len() - 1
            }));
        }
        self.pipelines.push(PlannedPipeline { id: id.to_string(), signal, processors, exporters: targets });
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
            let mut entry = Entry { id: text.clone(), factory: None, prepared: None };
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

    /// The configured component of that id.
    pub(super) fn get(&self, id: &str) -> Option<&Entry<'a, X, T>> {
        self.entries.iter().find(|entry| entry.id == id)
    }

    /// The component of an id that was checked to be configured and sound.
    fn ready(&self, id: &str) -> (String, &'a Factory<X, T>, Arc<Prepared<X, T>>) {
        let found =
            self.get(id).and_then(|e| Some((e.id.clone(), e.factory?, Arc::clone(e.prepared.as_ref()?))));
        found.unwrap_or_else(|| unreachable!("{id} was checked before a plan is made"))
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
    let settings = match &document.service.telemetry {
        Value::Null => TelemetryConfig::default(),
        section => {
            let path = ConfigPath::from("service::telemetry");
            longwave_config::decode::<TelemetryConfig>(section, &path).unwrap_or_else(|found| {
                errors.extend(found);
                TelemetryConfig::default()
            })
        }
    };
    settings.validate(errors);
    settings
}

/// Every `$` in a text doubled, so that reading it expands nothing.
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
    extensions: &Section<'_, ExtensionContext, dyn Extension>,
    receivers: &Section<'_, ReceiverContext, dyn Receiver>,
    processors: &Section<'_, ProcessorContext, dyn Processor>,
    exporters: &Section<'_, ExporterContext, dyn Exporter>,
    telemetry: &TelemetryConfig,
) -> Result<Value, ConfigErrors> {
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
