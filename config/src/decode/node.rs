//! A node of the tree, as a serde deserializer.

use serde::de::value::StrDeserializer;
use serde::de::{Deserializer, IntoDeserializer, Visitor};

use super::Session;
use super::access::{Elements, Entries, ExpandedNode, OneKey, Texts};
use super::failure::Failure;
use crate::document::missing_space;
use crate::error::InvalidKey;
use crate::value::serde_impl::WHOLE_NODE;
use crate::{ConfigError, ConfigPath, Value};

/// Path from the node at which decoding began, as a linked list on the stack.
#[derive(Clone, Copy)]
pub(crate) struct Trail<'t> {
    parent: Option<&'t Trail<'t>>,
    segment: &'t str,
}

impl<'t> Trail<'t> {
    pub(super) fn root() -> Self {
        Self { parent: None, segment: "" }
    }

    pub(super) fn child(&'t self, segment: &'t str) -> Self {
        Self { parent: Some(self), segment }
    }

    /// Returns the path below the node at which decoding began.
    pub(super) fn path(&self) -> ConfigPath {
        let mut segments = Vec::new();
        let mut here = self;
        while let Some(parent) = here.parent {
            segments.push(here.segment.to_owned());
            here = parent;
        }
        segments.into_iter().rev().collect()
    }
}

/// A node and its path.
#[derive(Clone, Copy)]
pub(crate) struct Node<'t> {
    pub(super) value: &'t Value,
    pub(super) trail: &'t Trail<'t>,
    pub(super) session: &'t Session,
}

impl<'t> Node<'t> {
    pub(super) fn new(value: &'t Value, trail: &'t Trail<'t>, session: &'t Session) -> Self {
        Self { value, trail, session }
    }

    /// Returns whether an earlier round left out the child `key`.
    pub(super) fn is_left_out(&self, key: &str) -> bool {
        !self.session.left_out.is_empty() && self.session.left_out.contains_key(&self.trail.path().child(key))
    }

    fn mismatch(&self, expected: &str) -> Failure {
        let failure = Failure::new(format_args!("expected {expected}, found {}", self.value.describe()));
        failure.hint(self.remedy(expected))
    }

    /// Returns how to write the value, if that can be guessed.
    fn remedy(&self, expected: &str) -> Option<String> {
        match (expected, self.value) {
            ("a map", value) => missing_space(Some(value)).map(str::to_owned),
            ("true or false", Value::Str(text)) => match text.to_ascii_lowercase().as_str() {
                "yes" | "y" | "on" | "true" => Some("write true".to_owned()),
                "no" | "n" | "off" | "false" => Some("write false".to_owned()),
                _ => None,
            },
            ("a whole number" | "a number", Value::Str(text)) => number_remedy(text),
            ("a string", Value::Int(_) | Value::Float(_) | Value::Bool(_)) => {
                Some("put it in quotes".to_owned())
            }
            ("a list", Value::Int(number)) => Some(format!("write [{number}]")),
            ("a list", Value::Map(_)) => Some("start each element with - on a line of its own".to_owned()),
            _ => None,
        }
    }

    fn whole_number(&self) -> Result<i64, Failure> {
        match self.value.plain() {
            Value::Int(number) => Ok(*number),
            // `1e3` is a float in YAML, but the user means 1000.
            Value::Float(number) if number.fract() == 0.0 && number.abs() < 9.0e15 => Ok(*number as i64),
            _ => Err(self.mismatch("a whole number")),
        }
    }

    fn number(&self) -> Result<f64, Failure> {
        match self.value.plain() {
            Value::Int(number) => Ok(*number as f64),
            Value::Float(number) => Ok(*number),
            _ => Err(self.mismatch("a number")),
        }
    }

    fn text(&self) -> Result<&'t str, Failure> {
        match self.value {
            Value::Null => Ok(""),
            value => value.as_str().ok_or_else(|| self.mismatch("a string")),
        }
    }

    fn report_unknown_keys(&self, known: &'static [&'static str]) {
        let Some(map) = self.value.as_map() else { return };
        let unknown = InvalidKey::of(map, known);
        if !unknown.is_empty() {
            let path = self.session.base.join(&self.trail.path());
            self.session.report(ConfigError::invalid_keys(path, unknown));
        }
    }

    fn entries<'de, V: Visitor<'de>>(
        self,
        visitor: V,
        known: Option<&'static [&'static str]>,
    ) -> Result<V::Value, Failure> {
        match self.value.plain() {
            Value::Null => visitor.visit_map(Entries::none(self)),
            Value::Map(map) => visitor.visit_map(Entries::new(self, map, known)),
            _ => Err(self.mismatch("a map")),
        }
    }

    fn elements<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match (self.value.plain(), self.value) {
            (Value::Null, _) => visitor.visit_seq(Elements::new(self, &[])),
            (Value::List(list), _) => visitor.visit_seq(Elements::new(self, list)),
            (Value::Str(text), _) => visitor.visit_seq(Texts::new(self, text)),
            (Value::Int(_) | Value::Float(_) | Value::Bool(_), Value::Expanded(expanded)) => {
                visitor.visit_seq(Texts::new(self, &expanded.original))
            }
            _ => Err(self.mismatch("a list")),
        }
    }
}

fn number_remedy(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    let number: i128 = digits.parse().ok()?;
    if i64::try_from(number).is_err() {
        Some("the number is too large".to_owned())
    } else {
        Some(format!("write {number}"))
    }
}

macro_rules! whole_numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            visitor.visit_i64(self.whole_number()?)
        })*
    };
}

impl<'de> Deserializer<'de> for Node<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.value.plain() {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Str(text) => visitor.visit_str(text),
            Value::List(list) => visitor.visit_seq(Elements::new(self, list)),
            Value::Map(map) => visitor.visit_map(Entries::new(self, map, None)),
            // `plain` never returns this.
            Value::Expanded(_) => visitor.visit_unit(),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_bool(self.value.as_bool().ok_or_else(|| self.mismatch("true or false"))?)
    }

    whole_numbers! { deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
    deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_f64(self.number()?)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        // A variable that is set to the empty string is null for most types, but an empty string for a string field:
        // `visit_some` lets the type decide. If it fails, the node is left out.
        if matches!(self.value, Value::Null) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.value.is_null() { visitor.visit_unit() } else { Err(self.mismatch("nothing")) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.report_unknown_keys(&[]);
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.value {
            Value::Expanded(expanded) if name == WHOLE_NODE => {
                visitor.visit_map(ExpandedNode::new(self, expanded))
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.elements(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Failure> {
        self.elements(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.elements(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.entries(visitor, None)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.report_unknown_keys(fields);
        self.entries(visitor, Some(fields))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        if let Some((key, content)) =
            self.value.as_map().filter(|map| map.len() == 1).and_then(|map| map.iter().next())
        {
            return visitor.visit_enum(OneKey { node: self, key, content });
        }
        let variant = match self.value {
            // `off` and `true` can be names of variants.
            Value::Bool(value) => value.to_string(),
            value => value
                .as_str()
                .ok_or_else(|| self.mismatch(&format!("one of [{}]", variants.join(" "))))?
                .to_owned(),
        };
        let variant: StrDeserializer<'_, Failure> = variant.as_str().into_deserializer();
        visitor.visit_enum(variant)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }
}
