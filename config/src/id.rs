//! Ids of components and pipelines: `type[/name]`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Id of a component: its type, and a name if there are several of the type (`otlp`, `otlp/backup`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId {
    kind: String,
    name: String,
}

/// Kind of data that the exporters of a pipeline receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Records are aggregated into windows, and windows become metric points.
    Metrics,
    /// Each record becomes a log record.
    Logs,
}

/// Id of a pipeline: its signal, and a name if there are several of the signal (`metrics`, `logs/debug`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipelineId {
    signal: Signal,
    name: String,
}

/// Why a string is not an id. The messages are the Collector's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// The string is empty.
    #[error("id must not be empty")]
    Empty,
    /// `/name`.
    #[error("in {0:?} id: the part before / should not be empty")]
    NoType(String),
    /// `type/`.
    #[error("in {0:?} id: the part after / should not be empty")]
    NoName(String),
    /// The type is not a letter followed by at most 62 letters, digits or underscores.
    #[error(
        "in {id:?} id: invalid character(s) in type {kind:?} (a letter, then at most 62 letters, digits or underscores)"
    )]
    BadType {
        /// The id, as configured.
        id: String,
        /// Its type.
        kind: String,
    },
    /// The name contains a space, a control character or a symbol.
    #[error(
        "in {id:?} id: invalid character(s) in name {name:?} (spaces, control characters and symbols such as $ + < = > ^ | are not allowed)"
    )]
    BadName {
        /// The id, as configured.
        id: String,
        /// Its name.
        name: String,
    },
    /// The name is longer than 1024 characters.
    #[error("id name is longer than 1024 characters ({0} characters)")]
    LongName(usize),
    /// A pipeline of a signal that Longwave does not support.
    #[error("unknown pipeline signal: {signal:?} for id: {id:?} (valid values: [metrics logs])")]
    UnknownSignal {
        /// The id, as configured.
        id: String,
        /// Its signal.
        signal: String,
    },
}

/// Maximum length of a type in characters, which are ASCII.
const MAX_TYPE_LENGTH: usize = 63;
/// Maximum length of a name in characters.
const MAX_NAME_LENGTH: usize = 1024;

impl ComponentId {
    /// Returns the type, which selects the factory.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns the name, which is empty if there is none.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn parts(kind: String, name: String, id: &str) -> Result<Self, InvalidId> {
        let letter_first = kind.starts_with(|c: char| c.is_ascii_alphabetic());
        let allowed = kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !letter_first || !allowed || kind.len() > MAX_TYPE_LENGTH {
            return Err(InvalidId::BadType { id: id.to_owned(), kind });
        }
        Ok(Self { kind, name })
    }
}

impl PipelineId {
    /// Creates the id `signal/name`, or `signal` if `name` is empty.
    ///
    /// # Errors
    /// The name is not valid.
    pub fn new(signal: Signal, name: &str) -> Result<Self, InvalidId> {
        if name.is_empty() {
            Ok(Self { signal, name: String::new() })
        } else {
            format!("{signal}/{name}").parse()
        }
    }

    /// Returns the kind of data that the exporters of the pipeline receive.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Returns the name, which is empty if there is none.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Splits `id` into its first part, which is not checked, and its name, which is.
fn split(id: &str) -> Result<(String, String), InvalidId> {
    let (first, name) = match id.split_once('/') {
        Some((first, name)) => (first.trim(), Some(name.trim())),
        None => (id.trim(), None),
    };
    match (first.is_empty(), name) {
        (true, None) => Err(InvalidId::Empty),
        (true, Some(_)) => Err(InvalidId::NoType(id.to_owned())),
        (false, Some("")) => Err(InvalidId::NoName(id.to_owned())),
        (false, None) => Ok((first.to_owned(), String::new())),
        (false, Some(name)) => {
            let length = name.chars().count();
            if length > MAX_NAME_LENGTH {
                Err(InvalidId::LongName(length))
            } else if name.chars().any(forbidden_in_name) {
                Err(InvalidId::BadName { id: id.to_owned(), name: name.to_owned() })
            } else {
                Ok((first.to_owned(), name.to_owned()))
            }
        }
    }
}

/// Returns whether `c` is a separator, a control or format character, or a symbol. The Collector forbids Unicode's categories
/// Z, C and S. This covers Z, C and the common blocks of S.
fn forbidden_in_name(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~')
        || matches!(c as u32,
            0xa2..=0xa6 | 0xa8 | 0xa9 | 0xac..=0xb1 | 0xb4 | 0xb8 | 0xd7 | 0xf7
            | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0x20a0..=0x20cf | 0x2190..=0x23ff
            | 0x2500..=0x27bf | 0xe000..=0xf8ff | 0xfeff | 0xfffc | 0xfffd | 0x1f000..=0x1faff)
}

impl FromStr for ComponentId {
    type Err = InvalidId;

    fn from_str(id: &str) -> Result<Self, InvalidId> {
        let (kind, name) = split(id)?;
        Self::parts(kind, name, id)
    }
}

impl FromStr for PipelineId {
    type Err = InvalidId;

    fn from_str(id: &str) -> Result<Self, InvalidId> {
        let (signal, name) = split(id)?;
        let signal = match signal.as_str() {
            "metrics" => Signal::Metrics,
            "logs" => Signal::Logs,
            _ => return Err(InvalidId::UnknownSignal { id: id.to_owned(), signal }),
        };
        Ok(Self { signal, name })
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signal::Metrics => "metrics",
            Signal::Logs => "logs",
        })
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.name.is_empty() { "" } else { "/" };
        write!(f, "{}{slash}{}", self.kind, self.name)
    }
}

impl fmt::Display for PipelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.name.is_empty() { "" } else { "/" };
        write!(f, "{}{slash}{}", self.signal, self.name)
    }
}

impl Serialize for ComponentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for PipelineId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ComponentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for PipelineId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
