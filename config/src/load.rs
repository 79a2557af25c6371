//! Loads the document that the command line refers to.

use std::sync::Arc;

use crate::download::NoDownloads;
use crate::expand::Expander;
use crate::{
    ConfigError, ConfigErrors, ConfigPath, Document, Download, Environment, ProcessEnvironment, Value,
    Warning, merge, source,
};

/// Sources of the configuration, in the order in which they are merged.
#[derive(Clone)]
pub struct Sources {
    /// Values of `--config`: the path of a file, `file:path`, `env:NAME` (a variable that contains YAML), `yaml:a::b: c`, or
    /// the URL of a file (`http://…`, `https://…`).
    pub configs: Vec<String>,
    /// Values of `--set`, applied after all files: `a.b=v`, where `v` is YAML.
    pub sets: Vec<String>,
    /// Variables for `env:NAME` and `${env:X}`.
    pub environment: Arc<dyn Environment>,
    /// Client for `http://…` and `https://…`.
    pub downloads: Arc<dyn Download>,
}

/// A configuration that has been read, merged and expanded. The settings of its components have not been checked.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration, split by section.
    pub document: Document,
    /// The whole tree, merged and expanded.
    pub value: Value,
    /// Warnings to log once logging has started.
    pub warnings: Vec<Warning>,
}

impl Sources {
    /// Creates sources that use the environment variables of this process, and cannot download.
    pub fn new(configs: Vec<String>, sets: Vec<String>) -> Self {
        Self { configs, sets, environment: Arc::new(ProcessEnvironment), downloads: Arc::new(NoDownloads) }
    }

    /// Replaces the environment variables.
    #[must_use]
    pub fn with_environment(mut self, environment: impl Environment + 'static) -> Self {
        self.environment = Arc::new(environment);
        self
    }

    /// Replaces the client for `http://…` and `https://…`.
    #[must_use]
    pub fn with_downloads(mut self, downloads: impl Download + 'static) -> Self {
        self.downloads = Arc::new(downloads);
        self
    }
}

/// Reads, merges, expands and splits a configuration. Each call reads the files, and downloads, again.
///
/// # Errors
/// Returns all errors of the first stage that has any. The first stage reads the sources and parses the YAML, the second expands
/// references and splits the sections.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    load_and_check(sources, |_| Vec::new())
}

/// Loads a configuration as [`load`] does. If an expansion or a section is invalid, also runs `check` on the components that could
/// be read, so that the user sees all errors at once. Errors of `check` that only follow from a failed expansion are discarded.
///
/// # Errors
/// Returns the errors of [`load`], followed by those of `check`.
pub fn load_and_check(
    sources: &Sources,
    check: impl FnOnce(&Document) -> Vec<ConfigError>,
) -> Result<Loaded, ConfigErrors> {
    let (mut errors, mut ignored) = (Vec::new(), Vec::new());
    let mut value = Value::Null;
    for config in &sources.configs {
        match source::read(config, sources, &mut ignored) {
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
    let mut expander = Expander::new(sources);
    let value = expander.expand(value);
    let (unset, mut errors) = expander.finish();
    let warnings = ignored.into_iter().chain(unset).collect();
    let (document, wrong) = Document::read(&value);
    if errors.is_empty() && wrong.is_empty() {
        return Ok(Loaded { document, value, warnings });
    }
    let unexpanded: Vec<ConfigPath> = errors.iter().map(ConfigError::full_path).collect();
    let found = check(&document).into_iter().filter(|error| {
        let path = error.full_path();
        !unexpanded.iter().any(|missing| error.may_follow_from(&path, missing))
    });
    errors.extend(wrong);
    for error in found {
        if !errors.contains(&error) {
            errors.push(error);
        }
    }
    Err(ConfigErrors(errors))
}
