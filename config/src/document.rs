//! The sections of a configuration.

use indexmap::IndexMap;

use crate::error::InvalidKey;
use crate::value::shortened;
use crate::{ComponentId, ConfigError, ConfigPath, InvalidId, Map, PipelineId, Value};

/// The components of one section with their settings, in the order of the configuration.
pub type Components = IndexMap<ComponentId, Value>;

/// A whole configuration, split by section. Ids are well-formed and unique. Whether a reference to an id resolves, and whether
/// a component's settings are valid, is checked later.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// Settings of each receiver. Null if the configuration has only its id.
    pub receivers: Components,
    /// Settings of each processor.
    pub processors: Components,
    /// Settings of each exporter.
    pub exporters: Components,
    /// Settings of each extension.
    pub extensions: Components,
    /// The `service` section: what runs.
    pub service: ServiceSection,
}

/// What runs, and how it reports its own state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceSection {
    /// The extensions to start, in order.
    pub extensions: Vec<ComponentId>,
    /// The pipelines, in order.
    pub pipelines: IndexMap<PipelineId, PipelineSection>,
    /// Settings of self-telemetry, not decoded. Null if there are none.
    pub telemetry: Value,
}

/// The stages of one pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipelineSection {
    /// Receivers that send their records into the pipeline.
    pub receivers: Vec<ComponentId>,
    /// Processors, in the order in which records pass them.
    pub processors: Vec<ComponentId>,
    /// Exporters that receive the output of the last processor.
    pub exporters: Vec<ComponentId>,
}

const SECTIONS: [&str; 5] = ["receivers", "processors", "exporters", "extensions", "service"];
const SERVICE: [&str; 3] = ["extensions", "pipelines", "telemetry"];
const PIPELINE: [&str; 3] = ["receivers", "processors", "exporters"];

impl Document {
    /// Splits an expanded configuration into its sections. Returns what could be read, and all errors in the rest: unknown keys,
    /// sections of the wrong type, malformed and duplicate ids.
    pub(crate) fn read(value: &Value) -> (Self, Vec<ConfigError>) {
        let mut reader = Reader::default();
        let root = ConfigPath::root();
        let sections = reader.map(Some(value), &root, Some(&SECTIONS));
        if sections.values().all(Value::is_null) {
            reader.errors.push(ConfigError::new(root.clone(), "empty configuration file"));
        }
        let mut components = |section: &str| {
            let path = root.child(section);
            let map = reader.map(sections.get(section), &path, None);
            reader.keyed(&map, &path, |reader, id: &ComponentId, settings| {
                reader.settings(settings, &path.child(id));
                settings.clone()
            })
        };
        let document = Self {
            receivers: components("receivers"),
            processors: components("processors"),
            exporters: components("exporters"),
            extensions: components("extensions"),
            service: reader.service(sections.get("service"), &root.child("service")),
        };
        (document, reader.errors)
    }
}

/// Reads sections and collects the errors, instead of stopping at the first.
#[derive(Default)]
struct Reader {
    errors: Vec<ConfigError>,
}

impl Reader {
    fn service(&mut self, value: Option<&Value>, path: &ConfigPath) -> ServiceSection {
        let service = self.map(value, path, Some(&SERVICE));
        let pipelines_path = path.child("pipelines");
        let pipelines = self.map(service.get("pipelines"), &pipelines_path, None);
        ServiceSection {
            extensions: self.ids(service.get("extensions"), &path.child("extensions")),
            pipelines: self.keyed(&pipelines, &pipelines_path, |reader, id: &PipelineId, stages| {
                let path = pipelines_path.child(id);
                let stages = reader.map(Some(stages), &path, Some(&PIPELINE));
                PipelineSection {
                    receivers: reader.ids(stages.get("receivers"), &path.child("receivers")),
                    processors: reader.ids(stages.get("processors"), &path.child("processors")),
                    exporters: reader.ids(stages.get("exporters"), &path.child("exporters")),
                }
            }),
            telemetry: service.get("telemetry").cloned().unwrap_or_default(),
        }
    }

    /// Returns the map at `path`, which is empty if `value` is missing or not a map. With `known`, other keys are errors.
    fn map(&mut self, value: Option<&Value>, path: &ConfigPath, known: Option<&[&str]>) -> Map {
        let map = match value.map(Value::plain) {
            None | Some(Value::Null) => return Map::new(),
            Some(Value::Map(map)) => map,
            Some(_) => {
                let found = value.map(Value::describe).unwrap_or_default();
                let error = ConfigError::new(path.clone(), format_args!("expected a map, found {found}"));
                self.errors.push(error.hint(not_a_map_hint(value)));
                return Map::new();
            }
        };
        if let Some(known) = known {
            let invalid = InvalidKey::of(map, known);
            if !invalid.is_empty() {
                self.errors.push(ConfigError::invalid_keys(path.clone(), invalid));
            }
        }
        map.clone()
    }

    /// Checks that a component's settings are a map or null. The component's factory checks the keys.
    fn settings(&mut self, settings: &Value, path: &ConfigPath) {
        if !matches!(settings.plain(), Value::Null | Value::Map(_)) {
            self.map(Some(settings), path, None);
        }
    }

    /// Parses the keys of `map` as ids and its values with `read`.
    fn keyed<I, V>(
        &mut self,
        map: &Map,
        path: &ConfigPath,
        mut read: impl FnMut(&mut Self, &I, &Value) -> V,
    ) -> IndexMap<I, V>
    where
        I: std::str::FromStr<Err = InvalidId> + std::fmt::Display + Eq + std::hash::Hash,
    {
        let mut out = IndexMap::new();
        for (key, value) in map {
            match key.parse::<I>() {
                Err(error) => self.errors.push(ConfigError::new(path.clone(), error)),
                Ok(id) if out.contains_key(&id) => {
                    let message = format!("duplicate name \"{id}\" after trimming spaces {key:?}");
                    self.errors.push(ConfigError::new(path.clone(), message));
                }
                Ok(id) => {
                    let value = read(self, &id, value);
                    out.insert(id, value);
                }
            }
        }
        out
    }

    /// Returns the ids in a list, or in a string such as `a,b`.
    fn ids(&mut self, value: Option<&Value>, path: &ConfigPath) -> Vec<ComponentId> {
        let texts: Vec<&str> = match value {
            None => return Vec::new(),
            Some(value) => match value.plain() {
                Value::Null => return Vec::new(),
                Value::List(list) => {
                    let mut texts = Vec::new();
                    for (index, element) in list.iter().enumerate() {
                        match element.as_str() {
                            Some(text) => texts.push(text),
                            None => self.not_an_id(element, &path.child(index)),
                        }
                    }
                    texts
                }
                Value::Str(text) => text.split(',').collect(),
                _ => {
                    self.not_ids(value, path);
                    return Vec::new();
                }
            },
        };
        let mut ids = Vec::new();
        for text in texts {
            match text.parse() {
                Ok(id) => ids.push(id),
                Err(error) => self.errors.push(ConfigError::new(path.clone(), error)),
            }
        }
        ids
    }

    fn not_an_id(&mut self, element: &Value, path: &ConfigPath) {
        let message = format_args!("expected a component's id, found {}", element.describe());
        self.errors.push(ConfigError::new(path.clone(), message).hint("ids are type or type/name"));
    }

    fn not_ids(&mut self, value: &Value, path: &ConfigPath) {
        let message = format_args!("expected a list of component ids, found {}", value.describe());
        self.errors
            .push(ConfigError::new(path.clone(), message).hint("write for example [otlp, otlp/backup]"));
    }
}

fn not_a_map_hint(value: Option<&Value>) -> String {
    match value {
        Some(Value::List(_)) => "write its entries with a colon (name:), not as a list (- name)".to_owned(),
        Some(Value::Str(text)) if !text.contains(':') => {
            format!("is a colon missing, as in \"{}:\"?", shortened(text))
        }
        _ => missing_space(value).unwrap_or("write its entries as name: value, indented below it").to_owned(),
    }
}

/// Returns a hint for `interval:5s`, which YAML reads as one string.
pub(crate) fn missing_space(value: Option<&Value>) -> Option<&'static str> {
    match value {
        Some(Value::Str(text)) if text.contains(':') => Some("is a space missing after the colon?"),
        _ => None,
    }
}
