//! The configuration as a tree: parsed from YAML, not yet decoded into types.

pub(crate) mod serde_impl;

use std::fmt;

use indexmap::IndexMap;

use crate::{ConfigError, yaml};

/// A map of a configuration. Keeps its keys in the order of the configuration. `==` ignores the order.
pub type Map = IndexMap<String, Value>;

/// A node of the configuration.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    /// No value. A field that is null takes its default.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number. A number that does not fit is a [`Value::Str`], so that a string field gets it exactly.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    Str(String),
    /// A list.
    List(Vec<Value>),
    /// A map with unique keys.
    Map(Map),
    /// A value that came from a variable or a file, with its original text.
    Expanded(Box<Expanded>),
}

/// A value that is configured as `${env:X}` or `${file:path}`, or as a string that contains such a reference.
#[derive(Clone, PartialEq)]
pub struct Expanded {
    /// The text, parsed as YAML. Never [`Value::Expanded`].
    pub value: Value,
    /// The text of the variable or file, which a string field gets (`0123` stays `0123`). It may be a secret.
    pub original: String,
    /// The string in the configuration, for example `${env:TOKEN}`.
    pub reference: String,
}

impl Value {
    /// Returns the value without its origin, which is never [`Value::Expanded`].
    pub fn plain(&self) -> &Value {
        match self {
            Value::Expanded(expanded) => &expanded.value,
            other => other,
        }
    }

    /// Returns whether the value is null.
    pub fn is_null(&self) -> bool {
        matches!(self.plain(), Value::Null)
    }

    /// Returns the string of a [`Value::Str`], or the original text of a [`Value::Expanded`].
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            Value::Expanded(expanded) => Some(&expanded.original),
            _ => None,
        }
    }

    /// Returns the value if it is a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self.plain() {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns the elements if the value is a list.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self.plain() {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// Returns the map if the value is one.
    pub fn as_map(&self) -> Option<&Map> {
        match self.plain() {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Returns the value of `key` if this is a map that contains it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map().and_then(|map| map.get(key))
    }

    /// Converts typed settings into a tree that can be printed. A [`crate::Secret`] becomes the string `[REDACTED]`.
    ///
    /// # Errors
    /// The type has no YAML form, for example a map with maps as keys.
    pub fn from_serialize<T: serde::Serialize + ?Sized>(settings: &T) -> Result<Self, ConfigError> {
        yaml::from_serialize(settings)
    }

    /// Describes the value for "found …" in an error. Does not quote a value that came from a variable or a file.
    pub(crate) fn describe(&self) -> String {
        match self {
            Value::Null => "nothing (null)".to_owned(),
            Value::Bool(value) => format!("{value}"),
            Value::Int(value) => format!("the number {value}"),
            Value::Float(value) => format!("the number {value}"),
            Value::Str(text) => format!("the string {:?}", shortened(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
            Value::Expanded(expanded) => {
                let kind = match &expanded.value {
                    Value::Null => "nothing",
                    Value::Bool(_) => "true or false",
                    Value::Int(_) | Value::Float(_) => "a number",
                    Value::Str(_) | Value::Expanded(_) => "a string",
                    Value::List(_) => "a list",
                    Value::Map(_) => "a map",
                };
                format!("{kind} in {:?}", shortened(&expanded.reference))
            }
        }
    }
}

/// Returns at most the first 60 characters, so that an error stays on one line.
pub(crate) fn shortened(text: &str) -> String {
    const MAX_CHARS: usize = 60;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Omits the value and the original text, which may be a secret.
impl fmt::Debug for Expanded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expanded").field("reference", &self.reference).finish_non_exhaustive()
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Value::Map(map)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.to_owned())
    }
}
