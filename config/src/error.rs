//! Errors and warnings. Each names the path in the configuration and, where possible, the remedy.

use std::fmt;

use crate::{ConfigPath, Map, near_miss};

/// One error in the configuration. Printed on one line: `processors::window: interval: <problem> (<hint>)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    path: ConfigPath,
    field: ConfigPath,
    problem: Problem,
    hint: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Message(String),
    InvalidKeys(Vec<InvalidKey>),
}

/// An unknown key, and the known key that is most similar, if one is similar enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvalidKey {
    pub key: String,
    pub meant: Option<String>,
}

impl InvalidKey {
    /// Returns the keys of `map` that are not in `known`.
    pub fn of(map: &Map, known: &[&str]) -> Vec<Self> {
        let unknown = map.keys().filter(|key| !known.contains(&key.as_str()));
        let meant = |key: &String| near_miss(key, known.iter().copied()).map(str::to_owned);
        unknown.map(|key| Self { key: key.clone(), meant: meant(key) }).collect()
    }
}

impl ConfigError {
    /// Creates an error at `path`: a component (`processors::window`), a pipeline, or the root.
    pub fn new(path: impl Into<ConfigPath>, message: impl fmt::Display) -> Self {
        Self {
            path: path.into(),
            field: ConfigPath::root(),
            problem: Problem::Message(message.to_string()),
            hint: None,
        }
    }

    /// Creates the error `'path' has invalid keys: …`, for the root `the configuration has unknown sections: …`. Each key is followed by the known key that was probably meant.
    pub(crate) fn invalid_keys(path: ConfigPath, keys: Vec<InvalidKey>) -> Self {
        Self { path, field: ConfigPath::root(), problem: Problem::InvalidKeys(keys), hint: None }
    }

    /// Sets the field below the path, for example `interval` or `tls::ca_file`.
    #[must_use]
    pub fn field(mut self, field: impl Into<ConfigPath>) -> Self {
        self.field = field.into();
        self
    }

    /// Sets the likely cause or the remedy. It is printed in parentheses at the end.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Returns whether this error, whose full path is `path`, may only be a consequence of the missing node at `missing`.
    /// An unknown key above `missing` is an error in any case.
    pub(crate) fn may_follow_from(&self, path: &ConfigPath, missing: &ConfigPath) -> bool {
        path == missing
            || path.is_below(missing)
            || missing.is_below(path) && matches!(self.problem, Problem::Message(_))
    }

    /// Returns the path of the component, pipeline or section, followed by the field.
    pub fn full_path(&self) -> ConfigPath {
        self.path.join(&self.field)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::Message(message) => {
                for path in [&self.path, &self.field] {
                    if !path.is_root() {
                        write!(f, "{path}: ")?;
                    }
                }
                f.write_str(message)?;
            }
            Problem::InvalidKeys(keys) => {
                match self.full_path() {
                    path if path.is_root() => f.write_str("the configuration has unknown sections: ")?,
                    path => write!(f, "'{path}' has invalid keys: ")?,
                }
                for (index, InvalidKey { key, meant }) in keys.iter().enumerate() {
                    f.write_str(if index > 0 { ", " } else { "" })?;
                    f.write_str(key)?;
                    if let Some(meant) = meant {
                        write!(f, " (did you mean {meant:?}?)")?;
                    }
                }
            }
        }
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// All errors in a configuration. Printed one per line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl ConfigErrors {
    /// Returns `value` if there are no errors, else all errors.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl From<Vec<ConfigError>> for ConfigErrors {
    fn from(errors: Vec<ConfigError>) -> Self {
        Self(errors)
    }
}

/// A setting that is valid but probably not what the user intended, for example a variable that is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Path of the node; the root if the message names its source.
    pub path: ConfigPath,
    /// What was found, and the consequence.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_root() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}
