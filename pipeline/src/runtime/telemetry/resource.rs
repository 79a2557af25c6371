//! `service::telemetry::resource`: a map of attributes, or the Collector's current form, a list under `attributes`.

use std::collections::BTreeMap;
use std::fmt;

use longwave_config::Value;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// New values of resource attributes, by key. `None` removes the attribute.
pub type ResourceChanges = BTreeMap<String, Option<String>>;

/// An element of `attributes`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AttributeConfig {
    name: String,
    value: Value,
}

struct ResourceVisitor;

/// Reads the section.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ResourceChanges, D::Error> {
    deserializer.deserialize_map(ResourceVisitor)
}

impl<'de> Visitor<'de> for ResourceVisitor {
    type Value = ResourceChanges;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ResourceChanges, A::Error> {
        let (mut changes, mut listed) = (ResourceChanges::new(), Vec::new());
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "attributes" => {
                    listed = map.next_value::<Option<Vec<AttributeConfig>>>()?.unwrap_or_default()
                }
                "schema_url" => match map.next_value::<Option<String>>()? {
                    None => {}
                    Some(_) => return Err(A::Error::custom("schema_url cannot be set: remove it")),
                },
                _ => drop(changes.insert(key, map.next_value()?)),
            }
        }
        if !listed.is_empty() && !changes.is_empty() {
            return Err(A::Error::custom(
                "attributes cannot be combined with other keys: move these into the list, as {name: key, value: text}",
            ));
        }
        for attribute in listed {
            let text = attribute.text().map_err(A::Error::custom)?;
            changes.insert(attribute.name, Some(text));
        }
        Ok(changes)
    }
}

// === impl AttributeConfig ===

impl AttributeConfig {
    /// Returns the value as a text, because all attributes of the resource are texts.
    ///
    /// # Errors
    /// The value is no attribute.
    fn text(&self) -> Result<String, String> {
        let value = match &self.value {
            Value::Expanded(expanded) => &expanded.value,
            value => value,
        };
        match value {
            Value::Str(text) => Ok(text.clone()),
            Value::Bool(value) => Ok(value.to_string()),
            Value::Int(value) => Ok(value.to_string()),
            Value::Float(value) => Ok(value.to_string()),
            Value::Null | Value::List(_) | Value::Map(_) | Value::Expanded(_) => {
                Err(format!("attribute {:?}: the value must be a text, a number, true or false", self.name))
            }
        }
    }
}

#[cfg(test)]
mod tests;
