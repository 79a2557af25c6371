//! Serde implementations of `Value`, for settings with a free-form part and for printing a tree.

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::{Expanded, Map, Value};

/// Newtype name by which [`Value`] requests a node with its origin from the decoder.
pub(crate) const WHOLE_NODE: &str = "$longwave::Value";
/// Keys of the map that the decoder then returns for an expanded node.
pub(crate) const EXPANDED_KEYS: [&str; 3] =
    ["$longwave::original", "$longwave::reference", "$longwave::value"];

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serializer.serialize_i64(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::Str(text) => serializer.serialize_str(text),
            Value::List(list) => {
                let mut out = serializer.serialize_seq(Some(list.len()))?;
                for element in list {
                    out.serialize_element(element)?;
                }
                out.end()
            }
            Value::Map(map) => {
                let mut out = serializer.serialize_map(Some(map.len()))?;
                for (key, value) in map {
                    out.serialize_entry(key, value)?;
                }
                out.end()
            }
            Value::Expanded(expanded) => expanded.value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WHOLE_NODE, ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or_else(|_| Value::Str(value.to_string()), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Str(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.is_empty() && key == EXPANDED_KEYS[0] {
                return expanded(entries);
            }
            map.insert(key, entries.next_value()?);
        }
        Ok(Value::Map(map))
    }
}

fn expanded<'de, A: MapAccess<'de>>(mut entries: A) -> Result<Value, A::Error> {
    let original = entries.next_value()?;
    let next = |wanted: &str, entries: &mut A| match entries.next_key::<String>()? {
        Some(key) if key == wanted => Ok(()),
        _ => Err(A::Error::custom("reserved key")),
    };
    next(EXPANDED_KEYS[1], &mut entries)?;
    let reference = entries.next_value()?;
    next(EXPANDED_KEYS[2], &mut entries)?;
    let value = entries.next_value::<Value>()?;
    Ok(Value::Expanded(Box::new(Expanded { value, original, reference })))
}
