//! [`ComponentConfig`]: the configuration of a component.

use std::fmt;

use longwave_config::{ConfigError, ConfigPath};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::component::exporter_changes::ExporterChanges;

/// The configuration of a component, which is parsed from its section. The doc comments of its fields are the reference of its settings
/// (`docs/SETTINGS.md`), for the people who write the section.
pub trait ComponentConfig:
    DeserializeOwned + Serialize + JsonSchema + Default + Clone + Send + Sync + 'static
{
    /// Reports invalid values and combinations of values.
    fn validate(&self, problems: &mut Problems);

    /// Returns the extensions that the component uses, as (key path, id). Each must be configured and started.
    fn extensions(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Returns the types of processors that set what a processor reads, as (key path, type). Each has to be earlier in the pipeline.
    fn reads_from(&self) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }

    /// Returns what a processor changes in what the exporters of its pipeline send.
    fn exporter_changes(&self) -> ExporterChanges {
        ExporterChanges::default()
    }

    /// Returns whether a processor should be the first of its pipeline.
    fn is_first(&self) -> bool {
        false
    }

    /// Returns the names of what only one running component can have, such as a listening port. A reload stops the component that has it
    /// before it starts the next one. Other components start before their predecessors stop.
    fn exclusive(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns what no other component of the same configuration may have, such as a directory, as (key path, value).
    fn unshared(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Returns names that are valid instead of an extension's id and need no extension.
    fn built_in(&self) -> &'static [&'static str] {
        &[]
    }
}

/// Returns the name of the port of `host:port`, for [`ComponentConfig::exclusive`]. None if the system chooses the port.
pub fn exclusive_port(endpoint: &str) -> Vec<String> {
    // Not the host, because one may be written as a name and the other one as an address.
    let port = endpoint.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    port.filter(|port| *port != 0).map(|port| format!("port {port}")).into_iter().collect()
}

/// Problems that [`ComponentConfig::validate`] finds.
#[derive(Debug, Default)]
pub struct Problems {
    pub(crate) found: Vec<(String, String)>,
}

// === impl Problems ===

impl Problems {
    /// Reports a problem at `key`: a path below the component's section with `::` between its parts, or empty for the section itself.
    pub fn at(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.found.push((key.into(), message.into()));
    }

    /// Reports a number that is greater than `max`: larger ones need more memory or time than any host has, or make no difference.
    pub fn at_most<T: PartialOrd + fmt::Display>(&mut self, key: &str, number: T, max: T) {
        if number > max {
            self.at(key, format!("{number} is too large: must be at most {max}"));
        }
    }

    /// Returns the problems as errors of the section at `path`.
    pub(crate) fn into_errors(self, path: &ConfigPath) -> impl Iterator<Item = ConfigError> {
        self.found.into_iter().map(|(key, text)| ConfigError::new(path.clone(), text).field(key.as_str()))
    }

    /// Reports names that occur more than once at `key`. The message calls the named things `what`, for example `level`.
    pub fn each_once<'a>(&mut self, key: &str, what: &str, names: impl IntoIterator<Item = &'a str>) {
        let mut seen = Vec::new();
        for name in names {
            if seen.contains(&name) {
                self.at(key, format!("names \"{name}\" twice: name each {what} once"));
            }
            seen.push(name);
        }
    }
}
