//! Error type of the decoder: the problem, and the path once a node has added it.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use super::node::Trail;
use crate::{ConfigError, ConfigPath, near_miss};

/// One reason why decoding stopped.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Path of the innermost node. That node sets it first, because a failure is returned from inner nodes to outer ones.
    node: Option<ConfigPath>,
    missing: Option<&'static str>,
    message: String,
    hint: Option<String>,
    of_empty_variable: bool,
}

impl Failure {
    pub(super) fn new(message: impl fmt::Display) -> Self {
        Self { node: None, missing: None, message: message.to_string(), hint: None, of_empty_variable: false }
    }

    pub(super) fn hint(mut self, hint: Option<impl fmt::Display>) -> Self {
        self.hint = hint.map(|hint| hint.to_string());
        self
    }

    /// Sets the path, unless an inner node has set it.
    pub(super) fn at(mut self, trail: &Trail<'_>) -> Self {
        self.node.get_or_insert_with(|| trail.path());
        self
    }

    /// Returns whether no node has set the path yet: the failure is then in the current node.
    pub(super) fn has_no_path(&self) -> bool {
        self.node.is_none()
    }

    /// Adds the reference that the node's value came from. `empty` is whether the variable is set to the empty string.
    pub(super) fn with_reference(mut self, reference: &str, empty: bool) -> Self {
        let named = self.message.contains(reference);
        if self.missing.is_none() {
            self.of_empty_variable = empty;
        }
        if self.missing.is_none() && !named {
            self.hint.get_or_insert_with(|| format!("the value comes from {reference:?}"));
        }
        self
    }

    pub(super) fn node(&self) -> ConfigPath {
        self.node.clone().unwrap_or_default()
    }

    pub(super) fn missing_field(&self) -> Option<&'static str> {
        self.missing
    }

    /// Returns whether the value came from a variable that is set to the empty string, and the field is not a string.
    pub(super) fn is_of_empty_variable(&self) -> bool {
        self.of_empty_variable
    }

    pub(super) fn into_error(self, base: &ConfigPath) -> ConfigError {
        let mut field = self.node();
        if let Some(missing) = self.missing {
            field = field.child(missing);
        }
        let error = ConfigError::new(base.clone(), self.message).field(field);
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

impl Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message)
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format_args!("expected {expected}, found {}", describe(&found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        let number = match expected.as_str() {
            "u8" => Some("from 0 to 255"),
            "u16" => Some("from 0 to 65535"),
            "u32" => Some("from 0 to 4294967295"),
            "u64" | "usize" | "u128" => Some("not below 0"),
            "i8" => Some("from -128 to 127"),
            "i16" => Some("from -32768 to 32767"),
            "i32" => Some("from -2147483648 to 2147483647"),
            name if name.starts_with("a nonzero ") => Some("above 0"),
            _ => None,
        };
        match number {
            Some(range) => {
                Self::new(format_args!("must be a whole number {range}, found {}", describe(&found)))
            }
            None => Self::new(format_args!("expected {expected}, found {}", describe(&found))),
        }
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::new(format_args!("expected {expected}, found {length} elements"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let meant = near_miss(variant, expected.iter().copied());
        // An empty text may be a value, but looks like none in a list.
        let shown: Vec<&str> = expected.iter().copied().filter(|name| !name.is_empty()).collect();
        Self::new(format_args!("unknown value {variant:?} (valid values: [{}])", shown.join(" ")))
            .hint(meant.map(|meant| format!("did you mean {meant:?}?")))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let meant = near_miss(field, expected.iter().copied());
        Self::new(format_args!("unknown key {field:?}"))
            .hint(meant.map(|meant| format!("did you mean {meant:?}?")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::new("must be set") }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format_args!("{field:?} is set twice")).hint(Some("once by its name and once by an alias?"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

fn describe(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Str(text) => format!("the string {:?}", crate::value::shortened(text)),
        Unexpected::Unit | Unexpected::Option => "nothing (null)".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}
