//! Parses YAML into a tree. Keys must be unique, merge keys (`<<`) are supported, tags are not.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use crate::{Map, Value};

/// Marks this module's messages in the error text of the library.
pub(super) const OURS: char = '\u{1}';

const MERGE_KEY: &str = "<<";

/// The first document of a text.
pub(super) struct First {
    pub(super) value: Value,
    /// Line of the second document, if there is one.
    pub(super) second: Option<usize>,
}

/// Reads the first document, as the Collector does.
pub(super) fn first(text: &str) -> Result<First, serde_yaml::Error> {
    // The library reports text with only comments and blank lines as unfinished. It is an empty document.
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(First { value: Value::Null, second: None });
    }
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let value = documents.next().map_or(Ok(Value::Null), |document| Node.deserialize(document))?;
    let second = documents.next().is_some().then(|| line_of_second(text));
    Ok(First { value, second })
}

/// Returns the line of the mark `---` that begins the second document. The first document may begin with such a mark, too.
fn line_of_second(text: &str) -> usize {
    let mut has_content = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("---") && has_content {
            return index + 1;
        }
        has_content |= !line.trim().is_empty() && !line.starts_with(['#', '%']);
    }
    1
}

#[derive(Clone, Copy)]
struct Node;

impl<'de> DeserializeSeed<'de> for Node {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
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

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Str(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Str(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Str(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(Node)? {
            list.push(element);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let mut merged = None;
        while let Some(key) = entries.next_key_seed(Key { seen: &map, merge_seen: merged.is_some() })? {
            let value = entries.next_value_seed(Node)?;
            if key == MERGE_KEY {
                merged = Some(value);
            } else {
                map.insert(key, value);
            }
        }
        if let Some(merged) = merged {
            fill_from(&mut map, merged).map_err(|what| A::Error::custom(format_args!("{OURS}{what}")))?;
        }
        Ok(Value::Map(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Value, A::Error> {
        let (tag, content) = data.variant::<String>()?;
        // The library reports an error of its own if the content is not consumed.
        let _ = content.newtype_variant_seed(Node)?;
        Err(A::Error::custom(format_args!(
            "{OURS}the tag \"!{tag}\" is not supported (quote a string that starts with !)"
        )))
    }
}

/// Adds the entries of a merge key (`<<`) whose keys the map does not have. If several maps have a key, the first wins.
fn fill_from(map: &mut Map, merged: Value) -> Result<(), &'static str> {
    match merged {
        Value::Map(entries) => {
            for (key, value) in entries {
                if !map.contains_key(&key) {
                    map.insert(key, value);
                }
            }
            Ok(())
        }
        Value::List(maps) if maps.iter().all(|element| matches!(element, Value::Map(_))) => {
            maps.into_iter().try_for_each(|element| fill_from(map, element))
        }
        _ => Err("<< must be a map or a list of maps (write <<: *anchor)"),
    }
}

/// Reads a key and refuses a duplicate. This happens during parsing, because the parser adds the line to the error.
struct Key<'a> {
    seen: &'a Map,
    merge_seen: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string as key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        if self.seen.contains_key(key) || (self.merge_seen && key == MERGE_KEY) {
            return Err(E::custom(format_args!(
                "{OURS}duplicate key {key:?} (remove one, or merge the two)"
            )));
        }
        Ok(key.to_owned())
    }

    fn visit_bool<E: Error>(self, key: bool) -> Result<String, E> {
        self.visit_str(&key.to_string())
    }

    fn visit_i64<E: Error>(self, key: i64) -> Result<String, E> {
        self.visit_str(&key.to_string())
    }

    fn visit_u64<E: Error>(self, key: u64) -> Result<String, E> {
        self.visit_str(&key.to_string())
    }

    fn visit_f64<E: Error>(self, key: f64) -> Result<String, E> {
        self.visit_str(&key.to_string())
    }

    fn visit_unit<E: Error>(self) -> Result<String, E> {
        Err(E::custom(format_args!("{OURS}a key is empty (quote it if the string \"null\" is meant)")))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<String, A::Error> {
        Err(A::Error::custom(format_args!(
            "{OURS}a map cannot be a key (quote a string that starts with {{ or $)"
        )))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<String, A::Error> {
        Err(A::Error::custom(format_args!(
            "{OURS}a list cannot be a key (quote a string that starts with [)"
        )))
    }
}
