//! The only module that knows which YAML library is used.
//!
//! Text is read as the Collector reads it, but for what the library reads as text where the Collector sees numbers
//! (`1_000`, `0123`): those stay texts, and where a number is wanted the error says how to write it.

mod cause;
mod read;

use serde::Serialize;
use serde_yaml::Value as Yaml;

use crate::{ConfigError, ConfigPath, Map, Value};

/// Parses one document. `source` is how errors name it: a file's path, or `--set a.b`.
///
/// # Errors
/// Names source, line, column and the likely cause. Empty text is [`Value::Null`].
pub(crate) fn parse(text: &str, source: &str) -> Result<Value, ConfigError> {
    read::document(text).map_err(|error| cause::explain(&error, text, source))
}

/// Types the text of a variable or file, as the Collector does: what YAML reads as text, or what is no YAML at all,
/// stays exactly as it is, quotes included.
pub(crate) fn type_of(text: &str) -> Value {
    match read::document(text) {
        Ok(Value::Str(_)) | Err(_) => Value::Str(text.to_owned()),
        Ok(value) => value,
    }
}

/// Writes a tree as YAML. Values that came from variables or files are written as they were typed; settings that
/// hold a [`crate::Secret`] are redacted only if the tree was made from their types ([`Value::from_serialize`]).
///
/// # Errors
/// None is known for a tree.
pub fn to_yaml(value: &Value) -> Result<String, ConfigError> {
    serde_yaml::to_string(value).map_err(not_yaml)
}

pub(crate) fn from_serialize<T: Serialize + ?Sized>(settings: &T) -> Result<Value, ConfigError> {
    from_library(serde_yaml::to_value(settings).map_err(not_yaml)?)
}

fn not_yaml(error: serde_yaml::Error) -> ConfigError {
    ConfigError::new(ConfigPath::root(), format_args!("cannot be written as YAML: {error}"))
}

fn from_library(yaml: Yaml) -> Result<Value, ConfigError> {
    Ok(match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => Value::Bool(value),
        Yaml::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Value::Int(value),
            (None, Some(value)) => Value::Str(value.to_string()),
            (None, None) => number.as_f64().map_or(Value::Null, Value::Float),
        },
        Yaml::String(text) => Value::Str(text),
        Yaml::Sequence(list) => Value::List(list.into_iter().map(from_library).collect::<Result<_, _>>()?),
        Yaml::Mapping(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                let key = match from_library(key)? {
                    Value::Str(text) => text,
                    Value::Bool(value) => value.to_string(),
                    Value::Int(value) => value.to_string(),
                    Value::Float(value) => value.to_string(),
                    _ => return Err(ConfigError::new(ConfigPath::root(), "a map's key must be a text")),
                };
                map.insert(key, from_library(value)?);
            }
            Value::Map(map)
        }
        // An enum variant with content: `{variant: content}`.
        Yaml::Tagged(tagged) => {
            let name = tagged.tag.to_string();
            let name = name.strip_prefix('!').unwrap_or(&name).to_owned();
            Value::Map([(name, from_library(tagged.value)?)].into_iter().collect())
        }
    })
}
