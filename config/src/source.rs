//! Reads one `--config` or `--set`.

use crate::value::shortened;
use crate::{ConfigError, ConfigPath, Map, Sources, Value, Warning, without_credentials, yaml};

/// Reads the source of a `--config`. Returns a map, or null if the source is empty.
pub(crate) fn read(
    config: &str,
    sources: &Sources,
    warnings: &mut Vec<Warning>,
) -> Result<Value, ConfigError> {
    // Errors name an inline configuration by its first line.
    let name = format!("{:?}", shortened(config.lines().next().unwrap_or_default()));
    let value = match scheme(config) {
        None => yaml::parse(&file(config)?, config, warnings)?,
        Some(("file", path)) => yaml::parse(&file(path)?, path, warnings)?,
        Some(("yaml", text)) => yaml::parse(text, &name, warnings)?,
        Some(("env", name)) => {
            let text = sources.environment.variable(name).ok_or_else(|| {
                ConfigError::new(
                    ConfigPath::root(),
                    format_args!("{config}: environment variable {name:?} is not set"),
                )
                .hint("set it to the configuration's YAML")
            })?;
            let text = text.into_string().map_err(|_| {
                ConfigError::new(
                    ConfigPath::root(),
                    format_args!("{config}: the variable's value is not UTF-8"),
                )
            })?;
            yaml::parse(&text, config, warnings)?
        }
        Some(("http" | "https", _)) => {
            let text =
                download(config, sources).map_err(|cause| ConfigError::new(ConfigPath::root(), cause))?;
            yaml::parse(&text, &without_credentials(config), warnings)?
        }
        Some((scheme, _)) => {
            let message = format_args!("scheme {scheme:?} is not supported for uri {config:?}");
            return Err(ConfigError::new(ConfigPath::root(), message).hint(format_args!(
                "use a path, file:, env:, yaml:, http:// or https://; if it is the name of a file, write ./{config}"
            )));
        }
    };
    match value {
        Value::Null => Ok(Value::Null),
        Value::Map(map) => Ok(Value::Map(unflatten(map))),
        other if config.contains('\n') => Err(not_a_map(&name, &other)),
        other => match scheme(config) {
            Some(("http" | "https", _)) => Err(not_a_map(&without_credentials(config), &other)),
            _ => Err(not_a_map(config, &other)),
        },
    }
}

fn not_a_map(config: &str, found: &Value) -> ConfigError {
    let message =
        format_args!("{config}: expected a map of sections at the top level, found {}", found.describe());
    ConfigError::new(ConfigPath::root(), message).hint(match found {
        Value::Str(text) if text.contains(':') => "is a space missing after a colon, or a line break?",
        _ => "start with receivers:, exporters: and service:",
    })
}

/// Parses `a.b=v` into the map `{a: {b: v}}`. If the key contains `::`, only `::` separates its parts, so that names can contain dots.
pub(crate) fn setting(set: &str) -> Result<Value, ConfigError> {
    let bad = |what: &str| {
        ConfigError::new(ConfigPath::root(), format_args!("--set {set}: {what}"))
            .hint("write --set processors.window.interval=10s")
    };
    let (key, text) = set.split_once('=').ok_or_else(|| bad("missing equal sign"))?;
    let separator = if key.contains("::") { "::" } else { "." };
    let segments: Vec<&str> = key.trim().split(separator).map(str::trim).collect();
    if segments.iter().any(|segment| segment.is_empty()) {
        return Err(bad("empty key"));
    }
    let mut more = Vec::new();
    let value = yaml::parse(text, &format!("--set {key}"), &mut more)?;
    if !more.is_empty() {
        return Err(bad("more than one YAML document"));
    }
    Ok(nested(&segments, value))
}

/// Returns `{a: {b: value}}` for the segments `a`, `b`.
fn nested(segments: &[&str], value: Value) -> Value {
    segments
        .iter()
        .rev()
        .fold(value, |inner, segment| Value::Map([((*segment).to_owned(), inner)].into_iter().collect()))
}

/// Replaces `a::b: c` at the top level by `a: {b: c}`, as the Collector does.
fn unflatten(map: Map) -> Map {
    let mut whole = Value::Map(Map::new());
    for (key, value) in map {
        let segments: Vec<&str> = key.split("::").collect();
        crate::merge(&mut whole, nested(&segments, value));
    }
    match whole {
        Value::Map(map) => map,
        _ => Map::new(),
    }
}

/// Splits off the scheme. As in the Collector a scheme has at least two characters, so that `C:\…` is a path.
pub(crate) fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let letters = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.len() > 1
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-'));
    letters.then_some((scheme, rest))
}

/// Reads a YAML file whose path is a setting of a component. References in it are not expanded. Returns null for an empty file.
///
/// # Errors
/// The file cannot be read, or is not YAML. The error names `path:line:column` and the likely cause.
pub fn read_component_file(path: &str) -> Result<Value, ConfigError> {
    let mut warnings = Vec::new();
    let value = yaml::parse(&file(path)?, path, &mut warnings)?;
    match warnings.pop() {
        // Rules that are ignored would be a surprise, and there is no Collector to agree with.
        Some(_) => Err(ConfigError::new(
            ConfigPath::root(),
            format_args!("{path}: there is more than one YAML document"),
        )
        .hint("remove the line ---")),
        None => Ok(value),
    }
}

fn file(path: &str) -> Result<String, ConfigError> {
    read_file(path).map_err(|cause| ConfigError::new(ConfigPath::root(), cause))
}

/// Returns the text of a file, or the message for the user.
pub(crate) fn read_file(path: &str) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| {
        let remedy = match error.kind() {
            std::io::ErrorKind::NotFound => " (relative paths start at the working directory)",
            std::io::ErrorKind::PermissionDenied => " (it must be readable by the user that runs longwave)",
            _ => "",
        };
        format!("unable to read the file {path:?}: {error}{remedy}")
    })?;
    text(bytes).map_err(|position| format!("the file {path:?} is not UTF-8 text (at byte {position})"))
}

/// Downloads the text at `url`, or returns the message for the user.
pub(crate) fn download(url: &str, sources: &Sources) -> Result<String, String> {
    let shown = without_credentials(url);
    let bytes = sources.downloads.get(url).map_err(|cause| format!("unable to download {shown}: {cause}"))?;
    text(bytes).map_err(|position| format!("the body of {shown} is not UTF-8 text (at byte {position})"))
}

/// Decodes a text, or returns the index of the first wrong byte.
fn text(bytes: Vec<u8>) -> Result<String, usize> {
    match utf16(&bytes) {
        Some(text) => Ok(text),
        None => String::from_utf8(bytes).map_err(|error| error.utf8_error().valid_up_to()),
    }
}

/// Decodes a text that begins with the byte order mark of UTF-16. YAML allows it, and so does the Collector.
fn utf16(bytes: &[u8]) -> Option<String> {
    let (mark, rest) = bytes.split_at_checked(2)?;
    let unit: fn([u8; 2]) -> u16 = match mark {
        [0xff, 0xfe] => u16::from_le_bytes,
        [0xfe, 0xff] => u16::from_be_bytes,
        _ => return None,
    };
    let (pairs, []) = rest.as_chunks::<2>() else { return None };
    char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect::<Result<_, _>>().ok()
}
