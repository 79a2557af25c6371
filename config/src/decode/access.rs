//! The children of a node, in the forms that serde reads.

use serde::Deserializer;
use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{
    DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::failure::Failure;
use super::node::{Node, Trail};
use crate::value::Expanded;
use crate::value::serde_impl::EXPANDED_KEYS;
use crate::{Map, Value, yaml};

/// Decodes the child `segment`. Adds the child's path to a failure in it.
fn child<'de, S: DeserializeSeed<'de>>(
    seed: S,
    parent: Node<'_>,
    segment: &str,
    value: &Value,
) -> Result<S::Value, Failure> {
    let trail: Trail<'_> = parent.trail.child(segment);
    seed.deserialize(Node::new(value, &trail, parent.session)).map_err(|failure| match value {
        Value::Expanded(expanded) if failure.has_no_path() => {
            failure.with_reference(&expanded.reference, expanded.value.is_null()).at(&trail)
        }
        _ => failure.at(&trail),
    })
}

/// Entries of a map. For a struct: only its known fields, without those that are null.
pub(super) struct Entries<'t> {
    node: Node<'t>,
    entries: Vec<(&'t String, &'t Value)>,
    next: usize,
}

impl<'t> Entries<'t> {
    pub(super) fn none(node: Node<'t>) -> Self {
        Self { node, entries: Vec::new(), next: 0 }
    }

    pub(super) fn new(node: Node<'t>, map: &'t Map, known: Option<&[&str]>) -> Self {
        let wanted = |(key, value): &(&String, &Value)| {
            let known =
                known.is_none_or(|known| known.contains(&key.as_str()) && !matches!(**value, Value::Null));
            known && !node.is_left_out(key)
        };
        Self { node, entries: map.into_iter().filter(wanted).collect(), next: 0 }
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        let Some((key, _)) = self.entries.get(self.next) else { return Ok(None) };
        let text: StrDeserializer<'_, Failure> = key.as_str().into_deserializer();
        let trail = self.node.trail.child(key);
        seed.deserialize(text).map(Some).map_err(|failure| failure.at(&trail))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let Some((key, value)) = self.entries.get(self.next) else {
            return Err(Failure::new("no value follows the last one"));
        };
        self.next += 1;
        child(seed, self.node, key, value)
    }
}

/// Elements of a list.
pub(super) struct Elements<'t> {
    node: Node<'t>,
    elements: std::iter::Enumerate<std::slice::Iter<'t, Value>>,
}

impl<'t> Elements<'t> {
    pub(super) fn new(node: Node<'t>, list: &'t [Value]) -> Self {
        Self { node, elements: list.iter().enumerate() }
    }
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        for (index, element) in self.elements.by_ref() {
            let segment = index.to_string();
            if !self.node.is_left_out(&segment) {
                return child(seed, self.node, &segment, element).map(Some);
            }
        }
        Ok(None)
    }
}

/// Elements of a string such as `a,b`, where a list is expected.
pub(super) struct Texts<'t> {
    node: Node<'t>,
    texts: Vec<&'t str>,
    next: usize,
}

impl<'t> Texts<'t> {
    pub(super) fn new(node: Node<'t>, text: &'t str) -> Self {
        let texts = if text.is_empty() { Vec::new() } else { text.split(',').map(str::trim).collect() };
        Self { node, texts, next: 0 }
    }
}

impl<'de> SeqAccess<'de> for Texts<'_> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        while let Some(text) = self.texts.get(self.next) {
            let segment = self.next.to_string();
            self.next += 1;
            if self.node.is_left_out(&segment) {
                continue;
            }
            // An element such as `80` is a number for a list of numbers, and the same string for a list of strings.
            let value = match yaml::type_of(text) {
                Value::Str(text) => Value::Str(text),
                value => Value::Expanded(Box::new(Expanded {
                    value,
                    original: (*text).to_owned(),
                    reference: (*text).to_owned(),
                })),
            };
            return child(seed, self.node, &segment, &value).map(Some);
        }
        Ok(None)
    }
}

/// An expanded node with its reference and original text. Settings with a field of type [`Value`] receive all three.
pub(super) struct ExpandedNode<'t> {
    node: Node<'t>,
    expanded: &'t Expanded,
    next: usize,
}

impl<'t> ExpandedNode<'t> {
    pub(super) fn new(node: Node<'t>, expanded: &'t Expanded) -> Self {
        Self { node, expanded, next: 0 }
    }
}

impl<'de> MapAccess<'de> for ExpandedNode<'_> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        let Some(key) = EXPANDED_KEYS.get(self.next) else { return Ok(None) };
        let key: StrDeserializer<'_, Failure> = (*key).into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        self.next += 1;
        let text: StringDeserializer<Failure> = match self.next {
            1 => self.expanded.original.clone().into_deserializer(),
            2 => self.expanded.reference.clone().into_deserializer(),
            _ => {
                return seed.deserialize(Node::new(&self.expanded.value, self.node.trail, self.node.session));
            }
        };
        seed.deserialize(text)
    }
}

/// `{variant: content}`, where an enum is expected.
pub(super) struct OneKey<'t> {
    pub(super) node: Node<'t>,
    pub(super) key: &'t str,
    pub(super) content: &'t Value,
}

impl<'de> EnumAccess<'de> for OneKey<'_> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Failure> {
        let name: StrDeserializer<'_, Failure> = self.key.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for OneKey<'_> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        if self.content.is_null() {
            Ok(())
        } else {
            Err(Failure::new(format_args!("{:?} takes no settings", self.key)))
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Failure> {
        child(seed, self.node, self.key, self.content)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Failure> {
        let trail = self.node.trail.child(self.key);
        Node::new(self.content, &trail, self.node.session)
            .deserialize_seq(visitor)
            .map_err(|failure| failure.at(&trail))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let trail = self.node.trail.child(self.key);
        Node::new(self.content, &trail, self.node.session)
            .deserialize_struct("", fields, visitor)
            .map_err(|failure| failure.at(&trail))
    }
}
