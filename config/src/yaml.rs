//! Reads and writes YAML. No other module uses the YAML library.
//!
//! YAML is read as the Collector reads it, with one exception: the library reads `1_000` and `0123` as strings, where the
//! Collector reads numbers. If a number is expected, the error says how to write it.

mod cause;
mod read;

use serde::Serialize;
use serde_yaml::Value as Yaml;

use crate::{ConfigError, ConfigPath, Map, Value, Warning};

/// Parses the first document. Empty text gives [`Value::Null`]. A byte order mark is skipped. Errors name it by `source`, which is the path of
/// a file, or `--set a.b`. Further documents cause a warning.
///
/// # Errors
/// The text is not valid YAML. The error names source, line, column and the likely cause.
pub(crate) fn parse(text: &str, source: &str, warnings: &mut Vec<Warning>) -> Result<Value, ConfigError> {
    let text = without_mark(text);
    let read::First { value, second } =
        read::first(text).map_err(|error| cause::explain(&error, text, source))?;
    if let Some(line) = second {
        let message = format!(
            "{source}:{line}: a second YAML document begins here; it is ignored, as by the Collector (pass each document with its own --config)"
        );
        warnings.push(Warning { path: ConfigPath::root(), message });
    }
    Ok(value)
}

/// Removes a byte order mark, which editors on Windows write.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Parses the text of a variable or file as the Collector does. Text that YAML reads as a string, or that is not YAML, becomes a
/// string without any change: quotes stay.
pub(crate) fn type_of(text: &str) -> Value {
    match read::first(without_mark(text)).map(|first| first.value) {
        Ok(Value::Str(_)) | Err(_) => Value::Str(text.to_owned()),
        Ok(value) => value,
    }
}

/// Writes a tree as YAML. A value that came from a variable or a file is written as its [`crate::Expanded::value`]. A
/// [`crate::Secret`] is redacted only if the tree was created from typed settings by [`Value::from_serialize`].
///
/// # Errors
/// The YAML library reports an error. No tree is known to cause one.
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
                    _ => {
                        return Err(ConfigError::new(
                            ConfigPath::root(),
                            "the key of a map must be a string",
                        ));
                    }
                };
                map.insert(key, from_library(value)?);
            }
            Value::Map(map)
        }
        // An enum variant with content becomes `{variant: content}`.
        Yaml::Tagged(tagged) => {
            let name = tagged.tag.to_string();
            let name = name.strip_prefix('!').unwrap_or(&name).to_owned();
            Value::Map([(name, from_library(tagged.value)?)].into_iter().collect())
        }
    })
}
