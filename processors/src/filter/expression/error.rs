//! Errors of expressions.

use std::fmt;

/// Why a text is not an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionError {
    text: String,
    /// Byte offset of the word that is wrong.
    at: usize,
    message: String,
}

// === impl ExpressionError ===

impl ExpressionError {
    pub(super) fn new(text: &str, at: usize, message: impl Into<String>) -> Self {
        Self { text: text.to_owned(), at, message: message.into() }
    }

    /// Returns the expression, and below it a caret at the mistake and what is wrong. Line breaks of the expression become spaces.
    pub fn with_caret(&self) -> String {
        let line = self.text.replace(char::is_whitespace, " ");
        let indent = self.before().chars().map(|_| ' ').collect::<String>();
        format!("{line}\n{indent}^ {}", self.message)
    }

    fn before(&self) -> &str {
        self.text.get(..self.at).unwrap_or(&self.text)
    }
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.before().chars().count() + 1, self.message)
    }
}

impl std::error::Error for ExpressionError {}
