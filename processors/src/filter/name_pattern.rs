//! Patterns of names.

use std::fmt;
use std::str::FromStr;

use longwave_pipeline::model::UNKNOWN;
use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// A pattern that matches a whole name. `*` stands for any characters and `?` for one; every other character is literal. Only the pattern
/// `unknown` matches a name that no source resolved; `*` does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(String);

/// Why a text is not a pattern.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNamePattern {
    /// No name is empty.
    #[error(
        "an empty name matches nothing (write a name, a pattern such as \"web-*\", or unknown for names that no source resolves)"
    )]
    Empty,
}

// === impl NamePattern ===

impl NamePattern {
    /// Returns whether the pattern matches. An empty name is unknown.
    pub fn matches(&self, name: &str) -> bool {
        if name.is_empty() || name == UNKNOWN {
            return self.0 == UNKNOWN;
        }
        let (mut pattern, mut rest) = (self.0.as_str(), name);
        // Where to continue after a mismatch: the pattern after the last `*`, and the name after the text that this `*` matches.
        let mut star: Option<(&str, &str)> = None;
        loop {
            let (mut next_pattern, mut next_rest) = (pattern.chars(), rest.chars());
            match (next_pattern.next(), next_rest.next()) {
                (None, None) => return true,
                (Some('*'), _) => {
                    pattern = next_pattern.as_str();
                    star = Some((pattern, rest));
                    continue;
                }
                (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {
                    (pattern, rest) = (next_pattern.as_str(), next_rest.as_str());
                    continue;
                }
                _ => {}
            }
            let Some((after, matched)) = star else { return false };
            let mut longer = matched.chars();
            if longer.next().is_none() {
                return false;
            }
            star = Some((after, longer.as_str()));
            (pattern, rest) = (after, longer.as_str());
        }
    }
}

impl FromStr for NamePattern {
    type Err = InvalidNamePattern;

    fn from_str(text: &str) -> Result<Self, InvalidNamePattern> {
        let text = text.trim();
        if text.is_empty() { Err(InvalidNamePattern::Empty) } else { Ok(Self(text.to_owned())) }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

longwave_config::text_schema!(NamePattern, "pattern");

impl<'de> Deserialize<'de> for NamePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for NamePattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests;
