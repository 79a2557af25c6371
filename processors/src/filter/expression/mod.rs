//! [`Expression`]: a condition on records, as text: `workload=web and (rtt>50ms or retransmits>1%)`.
//!
//! ```text
//! expression = alternative { "or" alternative }
//! alternative = term { ["and"] term }
//! term = ("not" | "!") term | "(" expression ")" | condition
//! condition = [("from" | "to" | "local" | "peer") ":"] field operator value { "," value }
//! operator = "=" | "!=" | ">" | ">=" | "<" | "<="
//! ```
//!
//! A value is a word or a text in quotes. Several values are alternatives.

mod condition;
mod error;
mod fields;
mod parser;
mod tokens;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use longwave_pipeline::model::ConnectionRecord;
use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

use condition::Condition;
pub use error::ExpressionError;
use parser::Parser;

/// A condition on records. Two expressions are equal if their texts are.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    root: Term,
}

/// A part of an expression.
#[derive(Clone, Debug)]
enum Term {
    All(Vec<Term>),
    Any(Vec<Term>),
    Not(Box<Term>),
    Condition(Condition),
}

// === impl Expression ===

impl Expression {
    /// Returns whether the record meets the condition.
    pub fn matches(&self, record: &ConnectionRecord) -> bool {
        self.root.matches(record)
    }

    /// Returns the processors that set the names in the expression: `workload`, `service`.
    pub fn reads_from(&self) -> Vec<&'static str> {
        let mut setters = Vec::new();
        self.root.for_each(&mut |condition| setters.extend(condition.setter()));
        setters.sort_unstable();
        setters.dedup();
        setters
    }

    /// Returns whether the result can differ between the records of one connection: only addresses and ports never change.
    pub fn can_change_within_a_connection(&self) -> bool {
        let mut changes = false;
        self.root.for_each(&mut |condition| changes |= condition.can_change());
        changes
    }
}

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        Ok(Self { text: text.to_owned(), root: Parser::new(text)?.parse()? })
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

longwave_config::text_schema!(Expression, "condition");

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Expression {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

// === impl Term ===

impl Term {
    fn matches(&self, record: &ConnectionRecord) -> bool {
        match self {
            Self::All(terms) => terms.iter().all(|term| term.matches(record)),
            Self::Any(terms) => terms.iter().any(|term| term.matches(record)),
            Self::Not(term) => !term.matches(record),
            Self::Condition(condition) => condition.matches(record),
        }
    }

    fn for_each(&self, visit: &mut dyn FnMut(&Condition)) {
        match self {
            Self::All(terms) | Self::Any(terms) => terms.iter().for_each(|term| term.for_each(visit)),
            Self::Not(term) => term.for_each(visit),
            Self::Condition(condition) => visit(condition),
        }
    }
}
