//! Expands `${env:X}`, `${env:X:-default}`, `${X}`, `${file:path}`, `${yaml:text}`, `${http://…}`, `${https://…}` and `$$` in the strings
//! of a tree.
//!
//! - A string that consists of one reference becomes the referenced text, parsed as YAML. The original text is kept beside it.
//! - In any other string the referenced text replaces the reference. The result is a string, so a reference can never add
//!   YAML structure.
//! - The referenced text is expanded too, so a literal `$` is written `$$` there as well, as in the Collector.
//! - Keys are not expanded.

mod parts;

use parts::Part;

use crate::value::Expanded;
use crate::{ConfigError, ConfigPath, Sources, Value, Warning, source, yaml};

/// Maximum number of references that are expanded for one string of the configuration, including nested ones.
const MAX_PER_TEXT: usize = 1_000;
/// Maximum nesting depth of references. Small enough to end a loop before the stack overflows.
const MAX_DEPTH: usize = 50;
/// Maximum number of references in the whole configuration. Bounds the time for a file that includes itself twice.
const MAX_REFERENCES: usize = 10_000;
/// Maximum number of bytes that references insert into the whole configuration. Bounds the memory for such a file.
const MAX_BYTES: usize = 64 << 20;

/// Expands trees and collects the errors, instead of stopping at the first.
pub(crate) struct Expander<'a> {
    sources: &'a Sources,
    warnings: Vec<Warning>,
    errors: Vec<ConfigError>,
    references: usize,
    bytes: usize,
}

/// Result of looking up a reference.
enum Retrieved {
    Text(String),
    /// The variable of this name is not set.
    Unset(String),
}

/// The expansion of one string of the configuration.
struct Job<'a> {
    path: &'a ConfigPath,
    /// References expanded so far.
    references: usize,
}

impl<'a> Expander<'a> {
    pub(crate) fn new(sources: &'a Sources) -> Self {
        Self { sources, warnings: Vec::new(), errors: Vec::new(), references: 0, bytes: 0 }
    }

    /// Returns the tree with all strings expanded. A string that cannot be expanded becomes null.
    pub(crate) fn expand(&mut self, value: Value) -> Value {
        self.node(value, &ConfigPath::root(), 0)
    }

    /// Returns the warnings and errors of all expanded trees.
    pub(crate) fn finish(self) -> (Vec<Warning>, Vec<ConfigError>) {
        (self.warnings, self.errors)
    }

    fn node(&mut self, value: Value, path: &ConfigPath, depth: usize) -> Value {
        match value {
            Value::Map(map) => Value::Map(
                map.into_iter()
                    .map(|(key, value)| {
                        let value = self.node(value, &path.child(&key), depth);
                        (key, value)
                    })
                    .collect(),
            ),
            Value::List(list) => Value::List(
                list.into_iter()
                    .enumerate()
                    .map(|(index, value)| self.node(value, &path.child(index), depth))
                    .collect(),
            ),
            Value::Str(text) if text.contains('$') => {
                let mut job = Job { path, references: 0 };
                self.whole(&text, &mut job, depth).unwrap_or_else(|error| {
                    self.errors.push(error);
                    Value::Null
                })
            }
            other => other,
        }
    }

    /// Expands a string that may consist of a single reference.
    fn whole(&mut self, text: &str, job: &mut Job<'_>, depth: usize) -> Result<Value, ConfigError> {
        let parts = job.parts(text)?;
        let (value, original) = match parts[..] {
            [Part::Reference(inner)] => match self.retrieve(inner, job, depth)? {
                Retrieved::Unset(name) => {
                    self.warn_unset(job, &name, "the setting keeps its default");
                    return Ok(Value::Null);
                }
                Retrieved::Text(original) => match yaml::type_of(&original) {
                    Value::Str(inner) => match self.whole(&inner, job, depth + 1)? {
                        Value::Expanded(expanded) => (expanded.value, expanded.original),
                        Value::Str(text) => (Value::Str(text.clone()), text),
                        // The variable refers to a variable that is not set.
                        _ => return Ok(Value::Null),
                    },
                    value => (self.node(value, job.path, depth + 1), original),
                },
            },
            _ => {
                let spliced = self.splice(&parts, job, depth)?;
                if !parts.iter().any(|part| matches!(part, Part::Reference(_))) {
                    return Ok(Value::Str(spliced));
                }
                (Value::Str(spliced.clone()), spliced)
            }
        };
        Ok(Value::Expanded(Box::new(Expanded { value, original, reference: text.to_owned() })))
    }

    /// Expands a string. The result is always a string.
    fn text(&mut self, text: &str, job: &mut Job<'_>, depth: usize) -> Result<String, ConfigError> {
        let parts = job.parts(text)?;
        self.splice(&parts, job, depth)
    }

    fn splice(&mut self, parts: &[Part<'_>], job: &mut Job<'_>, depth: usize) -> Result<String, ConfigError> {
        let mut out = String::new();
        for part in parts {
            match part {
                Part::Literal(literal) => out.push_str(literal),
                Part::Dollar => out.push('$'),
                Part::Reference(inner) => match self.retrieve(inner, job, depth)? {
                    Retrieved::Unset(name) => {
                        self.warn_unset(job, &name, "the reference is replaced by an empty string")
                    }
                    Retrieved::Text(text) => out.push_str(&self.text(&text, job, depth + 1)?),
                },
            }
        }
        Ok(out)
    }

    /// Looks up `inner`, the text between `${` and `}`.
    fn retrieve(&mut self, inner: &str, job: &mut Job<'_>, depth: usize) -> Result<Retrieved, ConfigError> {
        job.references += 1;
        self.references += 1;
        if depth >= MAX_DEPTH || job.references > MAX_PER_TEXT || self.references > MAX_REFERENCES {
            return Err(job
                .error("references lead to further references without end")
                .hint(format_args!("does ${{{inner}}} refer to itself? Write $$ for a literal $")));
        }
        let (locator, default) = parts::split_default(inner);
        let locator = self.text(locator, job, depth + 1)?;
        let text = match source::scheme(&locator).filter(|_| locator.contains(':')) {
            None => return self.variable(&locator, default, job, depth),
            Some(("env", name)) => return self.variable(name, default, job, depth),
            Some((_, _)) if default.is_some() => {
                return Err(
                    job.error(format_args!("only a variable can have a default (:-): \"${{{inner}}}\""))
                );
            }
            Some(("file", path)) => {
                without_line_break(source::read_file(path).map_err(|cause| job.error(cause))?)
            }
            Some(("http" | "https", _)) => without_line_break(
                source::download(&locator, self.sources).map_err(|cause| job.error(cause))?,
            ),
            Some(("yaml", text)) => text.to_owned(),
            Some((scheme, _)) => {
                let error = job.error(format_args!("scheme {scheme:?} is not supported for uri {locator:?}"));
                return Err(error.hint("use ${env:NAME}, ${file:path}, or $$ for a literal $"));
            }
        };
        self.bounded(text, job)
    }

    fn variable(
        &mut self,
        name: &str,
        default: Option<&str>,
        job: &mut Job<'_>,
        depth: usize,
    ) -> Result<Retrieved, ConfigError> {
        if name.is_empty() {
            return Err(job
                .error("empty reference")
                .hint("write ${env:NAME} or ${file:path}, or $$ for a literal $"));
        }
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        if !name.starts_with(first) || !name.chars().all(|c| first(c) || c.is_ascii_digit()) {
            return Err(job
                .error(format_args!("environment variable {name:?} has invalid name"))
                .hint("use letters, digits and underscores, and no digit first; write $$ for a literal $"));
        }
        match (self.sources.environment.variable(name), default) {
            (Some(value), _) => {
                let value = value.into_string().map_err(|_| {
                    job.error(format_args!("the value of environment variable {name:?} is not UTF-8"))
                })?;
                self.bounded(value, job)
            }
            (None, Some(default)) => {
                let default = self.text(default, job, depth + 1)?;
                // The default is already expanded: escape it, so that it is not expanded again.
                Ok(Retrieved::Text(default.replace('$', "$$")))
            }
            (None, None) => Ok(Retrieved::Unset(name.to_owned())),
        }
    }

    fn bounded(&mut self, text: String, job: &Job<'_>) -> Result<Retrieved, ConfigError> {
        self.bytes = self.bytes.saturating_add(text.len());
        if self.bytes > MAX_BYTES {
            return Err(job.error(format_args!("variables and files insert more than {MAX_BYTES} bytes")));
        }
        Ok(Retrieved::Text(text))
    }

    fn warn_unset(&mut self, job: &Job<'_>, name: &str, consequence: &str) {
        let message = format!(
            "environment variable {name:?} is not set: {consequence} (${{env:{name}:-value}} gives a default)"
        );
        let warning = Warning { path: job.path.clone(), message };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

/// Removes the line break at the end of a file, which is not part of a password.
fn without_line_break(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

impl Job<'_> {
    fn error(&self, message: impl std::fmt::Display) -> ConfigError {
        ConfigError::new(self.path.clone(), message)
    }

    fn parts<'t>(&self, text: &'t str) -> Result<Vec<Part<'t>>, ConfigError> {
        parts::split(text).map_err(|unclosed| {
            // The text may come from a variable: quote only the characters that a reference consists of.
            let start: String = unclosed
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || "${}:_".contains(*c))
                .take(40)
                .collect();
            self.error(format_args!("the reference {start:?} has no closing brace"))
                .hint("write $$ for a literal $")
        })
    }
}
