//! Divides an expression into tokens.

use super::error::ExpressionError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Open,
    Close,
    Not,
    Operator(Operator),
    Word(String),
    /// A text in quotes, which is never a keyword or a list.
    Quoted(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    More,
    AtLeast,
    Less,
    AtMost,
}

/// Returns the tokens, each with its byte offset.
///
/// # Errors
/// A quote that is not closed.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ExpressionError> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let at = text.len() - rest.len();
        let Some(first) = rest.chars().next() else { return Ok(found) };
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '=' => (Token::Operator(Operator::Equal), if rest.starts_with("==") { 2 } else { 1 }),
            '!' if rest.starts_with("!=") => (Token::Operator(Operator::NotEqual), 2),
            '!' => (Token::Not, 1),
            '>' if rest.starts_with(">=") => (Token::Operator(Operator::AtLeast), 2),
            '>' => (Token::Operator(Operator::More), 1),
            '<' if rest.starts_with("<=") => (Token::Operator(Operator::AtMost), 2),
            '<' => (Token::Operator(Operator::Less), 1),
            '"' | '\'' => match rest[1..].find(first) {
                Some(length) => (Token::Quoted(rest[1..=length].to_owned()), length + 2),
                None => {
                    return Err(ExpressionError::new(text, at, format!("the quote {first} is not closed")));
                }
            },
            _ => {
                let length = rest.find(ends_word).unwrap_or(rest.len());
                (Token::Word(rest[..length].to_owned()), length)
            }
        };
        found.push((at, token));
        rest = &rest[length..];
    }
}

fn ends_word(character: char) -> bool {
    character.is_whitespace() || "()=!<>\"'".contains(character)
}
