//! Patterns of cgroup paths.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};

/// A pattern that a cgroup's path, or that of a cgroup above it, may match. `*` and `?` stand for characters other than `/`, `**` for any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    /// Bytes of the text before the first wildcard: most paths differ in them.
    prefix: usize,
    tokens: Vec<Token>,
}

/// Why a text is no pattern.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidPattern {
    /// `foo.service`.
    #[error("cgroup {0:?} does not begin with / (write /system.slice/{0}, or /**/{0} for wherever it is)")]
    Relative(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// Itself.
    Literal(u8),
    /// `?`.
    OneInPart,
    /// `*`.
    ManyInPart,
    /// `**`.
    ManyAcrossParts,
    /// `/**/`: a slash, or two with anything between.
    WholeParts,
}

// === impl Pattern ===

impl Pattern {
    /// The path that it is, where it has no wildcards; without a slash at its end.
    pub fn literal(&self) -> Option<&str> {
        let literal = self.tokens.iter().all(|token| matches!(token, Token::Literal(_)));
        literal.then_some(self.text.as_str())
    }

    /// Characters (bytes) that stand for themselves.
    pub fn weight(&self) -> usize {
        self.tokens.iter().filter(|token| matches!(token, Token::Literal(_) | Token::WholeParts)).count()
    }

    /// Whether the cgroup at `path` or one above it matches.
    pub fn matches(&self, path: &str) -> bool {
        let path = path.as_bytes();
        let prefix = &self.text.as_bytes()[..self.prefix];
        if !path.starts_with(prefix) {
            return false;
        }
        // Where to go on after a mismatch: the last `*`, and the last wildcard that crosses slashes, each with where its text ends.
        let mut some: Option<(usize, usize)> = None;
        let mut any: Option<(usize, usize)> = None;
        let (mut token, mut at) = (self.prefix, self.prefix);
        loop {
            match self.tokens.get(token) {
                None if at == path.len() || path[at] == b'/' => return true,
                Some(Token::ManyInPart) => {
                    some = Some((token, at));
                    token += 1;
                    continue;
                }
                Some(Token::ManyAcrossParts) => {
                    (any, some) = (Some((token, at)), None);
                    token += 1;
                    continue;
                }
                Some(Token::WholeParts) if path.get(at) == Some(&b'/') => {
                    (any, some) = (Some((token, at)), None);
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
            if let Some((star, end)) = some
                && path.get(end).is_some_and(|byte| *byte != b'/')
            {
                some = Some((star, end + 1));
                (token, at) = (star + 1, end + 1);
                continue;
            }
            let Some((star, end)) = any else { return false };
            // `/**/` takes whole parts: up to the next slash.
            let next = match self.tokens[star] {
                Token::WholeParts => {
                    path.iter().skip(end + 1).position(|byte| *byte == b'/').map(|skip| end + 1 + skip)
                }
                _ => (end < path.len()).then_some(end + 1),
            };
            let Some(end) = next else { return false };
            (any, some) = (Some((star, end)), None);
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
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
