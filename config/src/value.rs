//! The tree of a configuration, after its YAML and before its types.

pub(crate) mod serde_impl;

use std::fmt;

use crate::{ConfigError, OrderedMap, yaml};

/// A map of a configuration, in the order in which it was written.
pub type Map = OrderedMap<String, Value>;

/// A node of the configuration.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    /// Nothing: the default of whatever is wanted here.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number. What does not fit is kept as text, so that it is exact where a text is wanted.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Str(String),
    /// A list.
    List(Vec<Value>),
    /// A map; keys are unique.
    Map(Map),
    /// What came from a variable or a file, with the text that it was made of.
    Expanded(Box<Expanded>),
}

/// A value that stood as `${env:X}` or `${file:path}`, or a text with such a part.
#[derive(Clone, PartialEq)]
pub struct Expanded {
    /// The value as YAML types it; never itself [`Value::Expanded`].
    pub value: Value,
    /// The text as it was in the variable or file; what a text field gets (`0123` stays `0123`). May be a secret.
    pub original: String,
    /// What the configuration says in this place, for example `${env:TOKEN}`.
    pub reference: String,
}

impl Value {
    /// The value without its origin: never [`Value::Expanded`].
    pub fn plain(&self) -> &Value {
        match self {
            Value::Expanded(expanded) => &expanded.value,
            other => other,
        }
    }

    /// Is there nothing here?
    pub fn is_null(&self) -> bool {
        matches!(self.plain(), Value::Null)
    }

    /// The text, where a text is acceptable: of a text, or of anything that came whole from a variable or a file.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            Value::Expanded(expanded) => Some(&expanded.original),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self.plain() {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self.plain() {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// The map, if it is one.
    pub fn as_map(&self) -> Option<&Map> {
        match self.plain() {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The entry `key` of a map; `None` for anything else.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map().and_then(|map| map.get(key))
    }

    /// Turns typed settings into a tree, so that they can be printed: what is a [`crate::Secret`] in them is
    /// `[REDACTED]` from here on.
    ///
    /// # Errors
    /// Only where the type cannot be shown as YAML at all (a map with maps as keys).
    pub fn from_serialize<T: serde::Serialize + ?Sized>(settings: &T) -> Result<Self, ConfigError> {
        yaml::from_serialize(settings)
    }

    /// What it is, for "found …" in an error. Quotes no value that came from a variable or a file.
    pub(crate) fn describe(&self) -> String {
        match self {
            Value::Null => "nothing (null)".to_owned(),
            Value::Bool(value) => format!("{value}"),
            Value::Int(value) => format!("the number {value}"),
            Value::Float(value) => format!("the number {value}"),
            Value::Str(text) => format!("the text {:?}", shortened(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
            Value::Expanded(expanded) => {
                let kind = match &expanded.value {
                    Value::Null => "nothing",
                    Value::Bool(_) => "true or false",
                    Value::Int(_) | Value::Float(_) => "a number",
                    Value::Str(_) | Value::Expanded(_) => "a text",
                    Value::List(_) => "a list",
                    Value::Map(_) => "a map",
                };
                format!("{kind} in {:?}", shortened(&expanded.reference))
            }
        }
    }
}

/// At most 60 characters, so that an error stays one line.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Without the original text, which may be a secret.
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
