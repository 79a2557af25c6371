//! From what the user gave on the command line to a document.

use std::sync::Arc;

use crate::expand::Expander;
use crate::{
    ConfigError, ConfigErrors, ConfigPath, Document, Environment, ProcessEnvironment, Value, Warning, merge,
    source,
};

/// Where the configuration is, in the order in which it is merged.
#[derive(Clone)]
pub struct Sources {
    /// The values of `--config`: a file's path, `file:path`, `env:NAME` (YAML in a variable), or `yaml:a::b: c`.
    pub configs: Vec<String>,
    /// The values of `--set`, applied after all files: `a.b=v`, where `v` is YAML.
    pub sets: Vec<String>,
    /// Where `env:NAME` and `${env:X}` look.
    pub environment: Arc<dyn Environment>,
}

/// A configuration that was read, merged and expanded. Nothing is known yet about its components' settings.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration by section.
    pub document: Document,
    /// The whole tree, as it was merged and expanded.
    pub value: Value,
    /// What should be logged once there is a log.
    pub warnings: Vec<Warning>,
}

impl Sources {
    /// These sources, with the variables of this process.
    pub fn new(configs: Vec<String>, sets: Vec<String>) -> Self {
        Self { configs, sets, environment: Arc::new(ProcessEnvironment) }
    }

    /// The same sources with other variables.
    #[must_use]
    pub fn with_environment(mut self, environment: impl Environment + 'static) -> Self {
        self.environment = Arc::new(environment);
        self
    }
}

/// Reads, merges, expands and splits a configuration. Reads the files anew at each call.
///
/// # Errors
/// All that is wrong, at once: unreadable sources and bad YAML first; where there is none of these, everything
/// that is wrong with expansions and with the document's sections.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    load_and_check(sources, |_| Vec::new())
}

/// [`load`], and where the document is wrong, what `check` finds in the components that could be read, at once. What follows from
/// something that could not be expanded is not reported.
///
/// # Errors
/// As [`load`]'s, then `check`'s.
pub fn load_and_check(
    sources: &Sources,
    check: impl FnOnce(&Document) -> Vec<ConfigError>,
) -> Result<Loaded, ConfigErrors> {
    let mut errors = Vec::new();
    let mut value = Value::Null;
    for config in &sources.configs {
        match source::read(config, &*sources.environment) {
            Ok(Value::Null) => {}
            Ok(read) => merge(&mut value, read),
            Err(error) => errors.push(error),
        }
    }
    for set in &sources.sets {
        match source::setting(set) {
            Ok(setting) => merge(&mut value, setting),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(ConfigErrors(errors));
    }
    if value.as_map().is_none_or(|map| map.values().all(Value::is_null)) {
        return Err(ConfigError::new(ConfigPath::root(), "empty configuration file").into());
    }
    let mut expander = Expander::new(&*sources.environment);
    let value = expander.expand(value);
    let (warnings, mut errors) = expander.finish();
    let (document, wrong) = Document::read(&value);
    if errors.is_empty() && wrong.is_empty() {
        return Ok(Loaded { document, value, warnings });
    }
    let unexpanded: Vec<ConfigPath> = errors.iter().map(ConfigError::full_path).collect();
    let found = check(&document).into_iter().filter(|error| {
        let place = error.full_path();
        !unexpanded.iter().any(|path| error.may_follow_from(&place, path))
    });
    errors.extend(wrong);
    for error in found {
        if !errors.contains(&error) {
            errors.push(error);
        }
    }
    Err(ConfigErrors(errors))
}
