//! Patterns of cgroup paths.
//!
//! This is not `globset`, because there `**` crosses slashes only as a whole part of the path and `[`, `{` and `\` are special, while here
//! `a**b` crosses slashes and every other character is literal.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// A pattern that matches a cgroup's path or that of an ancestor. `*` and `?` stand for characters other than `/`, `**` for any
/// characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// Length in bytes of the text before the first wildcard. Most paths differ there, which makes a mismatch cheap.
    prefix: usize,
    tokens: Vec<Token>,
}

/// Why a text is not a pattern.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// The path does not begin with `/`, as in `foo.service`.
    #[error("cgroup {0:?} does not begin with / (write {parent}/{0}, or /**/{0} to match it anywhere)", parent = usual_parent(.0))]
    Relative(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// One literal byte.
    Literal(u8),
    /// `?`: one character of a part.
    OneInPart,
    /// `*`: any characters within a part.
    ManyInPart,
    /// `**`: any characters, slashes too.
    ManyAcrossParts,
    /// `/**/`: one slash, or two with anything between them.
    WholeParts,
}

/// Returns where a unit of this name usually is.
fn usual_parent(name: &str) -> &'static str {
    if name.ends_with(".service") { "/system.slice" } else { "" }
}

// === impl Pattern ===

impl Pattern {
    /// Returns the path if the pattern has no wildcards, without a slash at its end.
    pub fn literal(&self) -> Option<&str> {
        let literal = self.tokens.iter().all(|token| matches!(token, Token::Literal(_)));
        literal.then_some(self.text.as_str())
    }

    /// Returns the number of literal bytes. `/**/` counts as one.
    pub fn weight(&self) -> usize {
        self.tokens.iter().filter(|token| matches!(token, Token::Literal(_) | Token::WholeParts)).count()
    }

    /// Returns the pattern without the mount point, if that is its beginning.
    #[must_use]
    pub fn below(&self, mount_point: &Path) -> Self {
        let rest = mount_point.to_str().and_then(|point| self.text.strip_prefix(point.trim_end_matches('/')));
        match rest {
            Some("") => "/".parse(),
            Some(rest) => rest.parse(),
            None => Ok(self.clone()),
        }
        .unwrap_or_else(|_| self.clone())
    }

    /// Returns whether the cgroup at `path` or one of its ancestors matches.
    pub fn matches(&self, path: &str) -> bool {
        let path = path.as_bytes();
        let prefix = &self.text.as_bytes()[..self.prefix];
        if !path.starts_with(prefix) {
            return false;
        }
        // Where to continue after a mismatch: the last `*` and the last wildcard that crosses slashes, each with the end of the text that
        // it matches.
        let mut within_part: Option<(usize, usize)> = None;
        let mut across_parts: Option<(usize, usize)> = None;
        let (mut token, mut at) = (self.prefix, self.prefix);
        loop {
            match self.tokens.get(token) {
                None if at == path.len() || path[at] == b'/' => return true,
                Some(Token::ManyInPart) => {
                    within_part = Some((token, at));
                    token += 1;
                    continue;
                }
                Some(Token::ManyAcrossParts) => {
                    (across_parts, within_part) = (Some((token, at)), None);
                    token += 1;
                    continue;
                }
                Some(Token::WholeParts) if path.get(at) == Some(&b'/') => {
                    (across_parts, within_part) = (Some((token, at)), None);
                    (token, at) = (token + 1, at + 1);
                    continue;
                }
                Some(Token::OneInPart) if path.get(at).is_some_and(|byte| *byte != b'/') => {
                    (token, at) = (token + 1, at + 1);
                    continue;
                }
                Some(Token::Literal(byte)) if path.get(at) == Some(byte) => {
                    (token, at) = (token + 1, at + 1);
                    continue;
                }
                _ => {}
            }
            if let Some((star, end)) = within_part
                && path.get(end).is_some_and(|byte| *byte != b'/')
            {
                within_part = Some((star, end + 1));
                (token, at) = (star + 1, end + 1);
                continue;
            }
            let Some((star, end)) = across_parts else { return false };
            // `/**/` extends by whole parts, to the next slash.
            let next = match self.tokens[star] {
                Token::WholeParts => {
                    path.iter().skip(end + 1).position(|byte| *byte == b'/').map(|skip| end + 1 + skip)
                }
                _ => (end < path.len()).then_some(end + 1),
            };
            let Some(end) = next else { return false };
            (across_parts, within_part) = (Some((star, end)), None);
            (token, at) = (star + 1, if self.tokens[star] == Token::WholeParts { end + 1 } else { end });
        }
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let text = text.trim();
        if !text.starts_with('/') {
            return Err(InvalidPattern::Relative(text.to_owned()));
        }
        let text = text.trim_end_matches('/');
        let mut tokens = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some(byte) = rest.first() {
            let (token, length) = match byte {
                b'/' if rest.starts_with(b"/**/") => (Token::WholeParts, 4),
                b'*' if rest.starts_with(b"**") => {
                    (Token::ManyAcrossParts, rest.iter().take_while(|byte| **byte == b'*').count())
                }
                b'*' => (Token::ManyInPart, 1),
                b'?' => (Token::OneInPart, 1),
                byte => (Token::Literal(*byte), 1),
            };
            tokens.push(token);
            rest = &rest[length..];
        }
        let prefix = tokens.iter().take_while(|token| matches!(token, Token::Literal(_))).count();
        Ok(Self { text: text.to_owned(), prefix, tokens })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text.is_empty() { "/" } else { &self.text })
    }
}

longwave_config::text_schema!(Pattern, "pattern");

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
