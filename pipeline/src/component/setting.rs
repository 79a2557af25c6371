//! [`Setting`]: describes one setting, from the types, the doc comments and the defaults of a configuration.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

/// Describes one setting of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Path below the section, with `::` between its parts. `*` is any index of a list, or any key of a map.
    pub path: String,
    /// What a value is, such as `duration`. `section`: a map of settings.
    pub kind: String,
    /// The default as YAML; `None` if the setting is not set by default, or empty.
    pub default: Option<String>,
    /// A value as YAML, if the default does not show what a value looks like.
    pub example: Option<String>,
    /// What the setting means.
    pub meaning: String,
    /// The valid words with their meanings, if there is a fixed number of them.
    pub words: Vec<(String, String)>,
}

impl Setting {
    /// Describes all settings of the configuration `C`, in the order of their paths.
    pub fn of<C: JsonSchema>() -> Vec<Self> {
        // As it is serialized: what is only read is not supported, or an older name.
        let mut settings = SchemaSettings::draft2020_12().for_serialize();
        settings.inline_subschemas = true;
        let schema: Schema = settings.into_generator().into_root_schema_for::<C>();
        let mut found = Vec::new();
        describe_section("", schema.as_value(), None, &mut found);
        found
    }

    /// Returns the meaning with those of the words.
    pub fn full_meaning(&self) -> String {
        let mut text = self.meaning.clone();
        for (word, meaning) in self.words.iter().filter(|(_, meaning)| !meaning.is_empty()) {
            text.push_str(&format!(" `{word}`: {}", lower_first(meaning)));
        }
        text
    }
}

/// Describes the settings of a section and those below them. `defaults` is the section's default.
fn describe_section(path: &str, schema: &Value, defaults: Option<&Value>, found: &mut Vec<Setting>) {
    for (name, schema) in properties(schema).into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}::{name}") };
        let default = defaults.and_then(|section| section.get(name)).or(schema.get("default"));
        found.push(Setting {
            path: path.clone(),
            kind: kind(schema),
            default: default.filter(|_| !is_section(schema)).and_then(yaml),
            example: schema.get("examples").and_then(|examples| yaml(examples.get(0)?)),
            meaning: one_line(schema),
            words: words(schema),
        });
        describe_below(&path, schema, default, found);
    }
}

/// Describes the settings below a value: those of a section, and of sections in a list or a map.
fn describe_below(path: &str, schema: &Value, default: Option<&Value>, found: &mut Vec<Setting>) {
    for shape in shapes(schema) {
        describe_section(path, shape, default, found);
        for key in ["items", "additionalProperties"] {
            if let Some(element) = shape.get(key).filter(|element| element.is_object()) {
                describe_below(&format!("{path}::*"), element, None, found);
            }
        }
    }
}

/// Returns the alternatives that a value can be, apart from null.
fn shapes(schema: &Value) -> Vec<&Value> {
    let is_null = |shape: &&Value| shape.get("type").and_then(Value::as_str) == Some("null");
    match schema.get("anyOf").and_then(Value::as_array) {
        Some(shapes) => shapes.iter().filter(|shape| !is_null(shape)).collect(),
        None => vec![schema],
    }
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties")?.as_object()
}

fn is_section(schema: &Value) -> bool {
    shapes(schema).iter().any(|shape| properties(shape).is_some())
}

/// Returns what a value is, in words.
fn kind(schema: &Value) -> String {
    let kinds: Vec<_> = shapes(schema).into_iter().map(kind_of_shape).collect();
    kinds.join(", or ")
}

fn kind_of_shape(shape: &Value) -> String {
    let words = words(shape);
    if !words.is_empty() && shape.get("items").is_none() {
        return words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    }
    let text = |key: &str| shape.get(key).and_then(Value::as_str);
    let kind = match shape.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        _ => text("type"),
    };
    let element = |key: &str| shape.get(key).filter(|element| element.is_object()).map(self::kind);
    match kind {
        Some("string") => text("format").unwrap_or("text").to_owned(),
        Some("integer" | "number") => "number".to_owned(),
        Some("array") => {
            format!("list of {}", element("items").map_or("values".to_owned(), |kind| plural(&kind)))
        }
        Some("object") if properties(shape).is_some() => "section".to_owned(),
        Some("object") => {
            format!(
                "map to {}",
                element("additionalProperties").map_or("values".to_owned(), |kind| plural(&kind))
            )
        }
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    }
}

/// Returns the plural of what a value is.
fn plural(kind: &str) -> String {
    if kind.starts_with('`') { kind.to_owned() } else { format!("{kind}s") }
}

/// Returns the valid words of a value, or of the elements of a list, with their meanings.
fn words(schema: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for shape in shapes(schema) {
        let choices =
            shape.get("oneOf").and_then(Value::as_array).map_or(std::slice::from_ref(shape), Vec::as_slice);
        for choice in choices {
            let several = choice.get("enum").and_then(Value::as_array).into_iter().flatten();
            let texts = choice.get("const").into_iter().chain(several).filter_map(Value::as_str);
            let meaning = if shape.get("oneOf").is_some() { one_line(choice) } else { String::new() };
            found.extend(texts.map(|text| (text.to_owned(), meaning.clone())));
        }
        if found.is_empty()
            && let Some(items) = shape.get("items")
        {
            found = words(items);
        }
    }
    found
}

/// Returns the description without line breaks.
fn one_line(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    // An example of a whole section is not the meaning of one setting.
    let text = text.split("```").next().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn lower_first(text: &str) -> String {
    let mut rest = text.chars();
    match (rest.next(), rest.clone().next()) {
        // `IPv4` and `OTLP` stay.
        (Some(first), second) if !second.is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(rest).collect()
        }
        _ => text.to_owned(),
    }
}

/// Returns a value as YAML on one line; `None` if it is null or empty.
fn yaml(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::Array(elements) if elements.is_empty() => None,
        Value::Object(entries) if entries.is_empty() => None,
        value => Some(yaml_text(value)),
    }
}

fn yaml_text(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Array(elements) => format!("[{}]", joined(elements.iter().map(yaml_text).collect())),
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{key}: {}", yaml_text(value)));
            format!("{{{}}}", joined(entries.collect()))
        }
        other => other.to_string(),
    }
}

/// Returns whether YAML reads the text without quotes as the same text, also within brackets.
fn is_plain(text: &str) -> bool {
    let begins_like_a_name = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '[');
    let is_word = !["true", "false", "null", "yes", "no", "on", "off"].contains(&text);
    let is_duration = text
        .strip_suffix(['s', 'm', 'h', 'B'])
        .is_some_and(|text| text.starts_with(|c: char| c.is_ascii_digit()));
    let is_safe =
        text.chars().all(|c| c.is_ascii_alphanumeric() || "./_-:".contains(c)) && !text.ends_with(':');
    (begins_like_a_name && is_word || is_duration) && is_safe
}

#[cfg(test)]
mod tests;
