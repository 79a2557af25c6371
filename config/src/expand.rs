//! `${env:X}`, `${env:X:-default}`, `${X}`, `${file:path}`, `${yaml:text}` and `$$`, in the tree's texts.
//!
//! A text that is nothing but one reference becomes what YAML types it to, and keeps its original text. In any other
//! text the reference is replaced by the original text, and the whole stays a text: no structure can come in.
//! What comes in is expanded in turn, so a `$` that is meant as such is `$$` there too, as in the Collector.
//! Keys are not expanded.

mod parts;

use parts::Part;

use crate::value::Expanded;
use crate::{ConfigError, ConfigPath, Environment, Value, Warning, source, yaml};

/// References in one text, those that it brings in included.
const MAX_PER_TEXT: usize = 1_000;
/// References within what references brought in. Few, so that a loop ends before the stack does.
const DEEPEST: usize = 50;
/// References, and bytes brought in, in a whole configuration: what a file that includes itself twice may cost.
const MAX_IN_ALL: usize = 10_000;
const MAX_BYTES: usize = 64 << 20;

/// Expands a tree, and collects what is wrong instead of stopping at it.
pub(crate) struct Expander<'a> {
    environment: &'a dyn Environment,
    warnings: Vec<Warning>,
    errors: Vec<ConfigError>,
    references: usize,
    bytes: usize,
}

/// What a reference stands for.
enum Retrieved {
    Text(String),
    Unset(String),
}

/// One text on its way.
struct Job<'a> {
    path: &'a ConfigPath,
    references: usize,
}

impl<'a> Expander<'a> {
    pub(crate) fn new(environment: &'a dyn Environment) -> Self {
        Self { environment, warnings: Vec::new(), errors: Vec::new(), references: 0, bytes: 0 }
    }

    /// The tree with all texts expanded; null where that failed.
    pub(crate) fn expand(&mut self, value: Value) -> Value {
        self.node(value, &ConfigPath::root(), 0)
    }

    /// What there is to say about all trees that were expanded.
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

    /// A text that may be one reference and nothing else.
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
                        // The variable refers to one that is not set.
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

    /// A text into which references are spliced as texts.
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
                    Retrieved::Unset(name) => self.warn_unset(job, &name, "nothing is put in its place"),
                    Retrieved::Text(text) => out.push_str(&self.text(&text, job, depth + 1)?),
                },
            }
        }
        Ok(out)
    }

    /// Looks up what stands between `${` and `}`.
    fn retrieve(&mut self, inner: &str, job: &mut Job<'_>, depth: usize) -> Result<Retrieved, ConfigError> {
        job.references += 1;
        self.references += 1;
        if depth >= DEEPEST || job.references > MAX_PER_TEXT || self.references > MAX_IN_ALL {
            return Err(job.error("references lead to further references without end").hint(format_args!(
                "does ${{{inner}}} refer to itself? A $ that is meant as such is written $$"
            )));
        }
        let (locator, default) = parts::split_default(inner);
        let locator = self.text(locator, job, depth + 1)?;
        let text = match source::scheme(&locator).filter(|_| locator.contains(':')) {
            None => return self.variable(&locator, default, job, depth),
            Some(("env", name)) => return self.variable(name, default, job, depth),
            Some((_, _)) if default.is_some() => {
                return Err(
                    job.error(format_args!("a default (:-) is for variables only, in \"${{{inner}}}\""))
                );
            }
            Some(("file", path)) => {
                let text = source::read_file(path).map_err(|cause| job.error(cause))?;
                // Files end with a line break that nobody means to be part of a password.
                let text = text.strip_suffix('\n').unwrap_or(&text);
                text.strip_suffix('\r').unwrap_or(text).to_owned()
            }
            Some(("yaml", text)) => text.to_owned(),
            Some((scheme, _)) => {
                let error = job.error(format_args!("scheme {scheme:?} is not supported for uri {locator:?}"));
                return Err(error.hint("use ${env:NAME}, ${file:path}, or $$ for a $ that is meant as such"));
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
                .error("a reference names nothing")
                .hint("write ${env:NAME} or ${file:path}; a $ that is meant as such is written $$"));
        }
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        if !name.starts_with(first) || !name.chars().all(|c| first(c) || c.is_ascii_digit()) {
            return Err(job.error(format_args!("environment variable {name:?} has invalid name")).hint(
                "letters, digits and underscores, no digit first; a $ that is meant as such is written $$",
            ));
        }
        match (self.environment.variable(name), default) {
            (Some(value), _) => {
                let value = value.into_string().map_err(|_| {
                    job.error(format_args!("the value of environment variable {name:?} is not UTF-8"))
                })?;
                self.bounded(value, job)
            }
            (None, Some(default)) => {
                let default = self.text(default, job, depth + 1)?;
                // It is a text of its own now: its dollar signs are not expanded a second time.
                Ok(Retrieved::Text(default.replace('$', "$$")))
            }
            (None, None) => Ok(Retrieved::Unset(name.to_owned())),
        }
    }

    fn bounded(&mut self, text: String, job: &Job<'_>) -> Result<Retrieved, ConfigError> {
        self.bytes = self.bytes.saturating_add(text.len());
        if self.bytes > MAX_BYTES {
            return Err(job.error(format_args!("variables and files bring in more than {MAX_BYTES} bytes")));
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

impl Job<'_> {
    fn error(&self, message: impl std::fmt::Display) -> ConfigError {
        ConfigError::new(self.path.clone(), message)
    }

    fn parts<'t>(&self, text: &'t str) -> Result<Vec<Part<'t>>, ConfigError> {
        parts::split(text).map_err(|unclosed| {
            // From the configuration, or from a variable: only what a reference looks like is shown.
            let start: String = unclosed
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || "${}:_".contains(*c))
                .take(40)
                .collect();
            self.error(format_args!("the reference {start:?} has no closing brace"))
                .hint("a $ that is meant as such is written $$")
        })
    }
}
