//! What is wrong with a configuration, said so that the user knows where it is and what to do.

use std::fmt;

use crate::{ConfigPath, Map, near_miss};

/// One thing that is wrong. Shown on one line: `processors::window: interval: <what> (<remedy>)`.
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

/// A key that nothing reads, and the known key that was probably meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvalidKey {
    pub key: String,
    pub meant: Option<String>,
}

impl InvalidKey {
    /// The keys of `map` that are not among `known`.
    pub fn of(map: &Map, known: &[&str]) -> Vec<Self> {
        let unknown = map.keys().filter(|key| !known.contains(&key.as_str()));
        let meant = |key: &String| near_miss(key, known.iter().copied()).map(str::to_owned);
        unknown.map(|key| Self { key: key.clone(), meant: meant(key) }).collect()
    }
}

impl ConfigError {
    /// `message` is wrong at `path`: a component (`processors::window`), a pipeline, or the root.
    pub fn new(path: impl Into<ConfigPath>, message: impl fmt::Display) -> Self {
        Self {
            path: path.into(),
            field: ConfigPath::root(),
            problem: Problem::Message(message.to_string()),
            hint: None,
        }
    }

    /// `'path' has invalid keys: …`, each with the known key that was probably meant.
    pub(crate) fn invalid_keys(path: ConfigPath, keys: Vec<InvalidKey>) -> Self {
        Self { path, field: ConfigPath::root(), problem: Problem::InvalidKeys(keys), hint: None }
    }

    /// Names the field below the path, for example `interval` or `tls::ca_file`.
    #[must_use]
    pub fn field(mut self, field: impl Into<ConfigPath>) -> Self {
        self.field = field.into();
        self
    }

    /// Adds the likely cause or the remedy; shown in parentheses at the end.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Whether it may say no more than that there is nothing at `missing`. A key that nothing reads is wrong in any case.
    pub(crate) fn may_follow_from(&self, place: &ConfigPath, missing: &ConfigPath) -> bool {
        place == missing
            || place.is_below(missing)
            || missing.is_below(place) && matches!(self.problem, Problem::Message(_))
    }

    /// The component, pipeline or section in which it is wrong, followed by the field.
    pub fn full_path(&self) -> ConfigPath {
        self.path.join(&self.field)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::Message(message) => {
                for place in [&self.path, &self.field] {
                    if !place.is_root() {
                        write!(f, "{place}: ")?;
                    }
                }
                f.write_str(message)?;
            }
            Problem::InvalidKeys(keys) => {
                write!(f, "'{}' has invalid keys: ", self.full_path())?;
                for (position, InvalidKey { key, meant }) in keys.iter().enumerate() {
                    f.write_str(if position > 0 { ", " } else { "" })?;
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

/// Everything that is wrong with a configuration; shown one per line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl ConfigErrors {
    /// `Err` with all errors, or `value` where there are none.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.0.iter().enumerate() {
            if position > 0 {
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

/// Something that works, but probably not as it was meant (an unset variable).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The node that it concerns.
    pub path: ConfigPath,
    /// What was found, and what is done about it.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}
