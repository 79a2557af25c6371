//! [`Parser`]: reads an expression, by recursive descent.

use longwave_config::{ByteSize, GoDuration, near_miss};

use super::Term;
use super::condition::{Bound, Condition, Side, Test};
use super::error::ExpressionError;
use super::fields::{FIELDS, Field, Measure, TextField};
use super::tokens::{Operator, Token, tokens};
use crate::filter::name_pattern::NamePattern;

/// Maximum length of an expression in bytes.
const MAX_LENGTH: usize = 4_096;
/// Maximum depth of parentheses and negations, which bounds the stack.
const MAX_DEPTH: usize = 32;

/// Reads the tokens of one expression.
pub(super) struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
}

/// What a condition is about.
struct Subject {
    side: Side,
    /// Name of the field.
    name: &'static str,
    field: Field,
}

// === impl Parser ===

impl<'a> Parser<'a> {
    /// Divides the text into tokens.
    ///
    /// # Errors
    /// The text is too long, or has a quote that is not closed.
    pub(super) fn new(text: &'a str) -> Result<Self, ExpressionError> {
        if text.len() > MAX_LENGTH {
            let message =
                format!("the expression is longer than {MAX_LENGTH} bytes: use several filter processors");
            return Err(ExpressionError::new(text, MAX_LENGTH, message));
        }
        Ok(Self { text, tokens: tokens(text)?, next: 0, depth: 0 })
    }

    /// Reads the whole expression.
    ///
    /// # Errors
    /// The first mistake.
    pub(super) fn parse(mut self) -> Result<Term, ExpressionError> {
        let term = self.expression()?;
        match self.peek() {
            None => Ok(term),
            Some(Token::Close) => Err(self.wrong("there is no ( for this )")),
            Some(_) => Err(self.wrong("expected and, or, or the end")),
        }
    }

    fn expression(&mut self) -> Result<Term, ExpressionError> {
        let mut terms = vec![self.alternative()?];
        while self.take_keyword("or") {
            terms.push(self.alternative()?);
        }
        Ok(if terms.len() == 1 { terms.swap_remove(0) } else { Term::Any(terms) })
    }

    fn alternative(&mut self) -> Result<Term, ExpressionError> {
        let mut terms = vec![self.term()?];
        loop {
            let has_and = self.take_keyword("and");
            let ends = matches!(self.peek(), None | Some(Token::Close)) || self.is_keyword("or");
            if ends && !has_and {
                break;
            }
            terms.push(self.term()?);
        }
        Ok(if terms.len() == 1 { terms.swap_remove(0) } else { Term::All(terms) })
    }

    fn term(&mut self) -> Result<Term, ExpressionError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong(format!("more than {MAX_DEPTH} levels of parentheses and negations")));
        }
        let term = if self.take_keyword("not") || self.take(&Token::Not) {
            Term::Not(Box::new(self.term()?))
        } else if self.peek() == Some(&Token::Open) {
            let open = self.at();
            self.next += 1;
            let term = self.expression()?;
            if !self.take(&Token::Close) {
                return Err(ExpressionError::new(self.text, open, "there is no ) for this ("));
            }
            term
        } else {
            self.condition()?
        };
        self.depth -= 1;
        Ok(term)
    }

    fn condition(&mut self) -> Result<Term, ExpressionError> {
        let Subject { side, name, field } = self.subject()?;
        let operator = self.operator(name, field)?;
        let test = match field {
            Field::Text(text) => Test::Text(text, self.values(|word| pattern(text, word))?),
            Field::Port => Test::Ports(self.values(|word| word.parse().map_err(|error| format!("{error}")))?),
            Field::Address => {
                Test::Addresses(self.values(|word| word.parse().map_err(|error| format!("{error}")))?)
            }
            Field::Measure(measure) => {
                let bounds = self.values(|word| bound(measure, word))?;
                let [bound] = bounds.as_slice() else {
                    self.next -= 1;
                    return Err(self.wrong("expected one number, not a list"));
                };
                return Ok(Term::Condition(Condition {
                    side,
                    test: Test::Compare(measure, operator, *bound),
                }));
            }
        };
        let term = Term::Condition(Condition { side, test });
        Ok(if operator == Operator::NotEqual { Term::Not(Box::new(term)) } else { term })
    }

    /// Reads what a condition is about, such as `from:workload`.
    fn subject(&mut self) -> Result<Subject, ExpressionError> {
        let Some(Token::Word(word)) = self.peek().cloned() else {
            return Err(self.wrong("expected a condition such as workload=web, port=443 or rtt>50ms"));
        };
        let (side, name) = match word.split_once(':') {
            None => (Side::Either, word.as_str()),
            Some(("from", name)) => (Side::From, name),
            Some(("to", name)) => (Side::To, name),
            Some(("local", name)) => (Side::Local, name),
            Some(("peer", name)) => (Side::Peer, name),
            Some((other, _)) => {
                return Err(self.wrong(format!("unknown end {other:?}: write from:, to:, local: or peer:")));
            }
        };
        let Some((name, field)) = FIELDS.iter().copied().find(|(known, _)| *known == name) else {
            let names = || FIELDS.iter().map(|(name, _)| *name);
            return Err(self.wrong(match near_miss(name, names()) {
                Some(meant) => format!("unknown field {name:?} (did you mean {meant}?)"),
                None => {
                    format!("unknown field {name:?}: known are {}", names().collect::<Vec<_>>().join(", "))
                }
            }));
        };
        let has_ends = match field {
            Field::Text(text) => text.is_of_an_end(),
            Field::Port | Field::Address => true,
            Field::Measure(_) => false,
        };
        if side != Side::Either && !has_ends {
            return Err(self.wrong(format!(
                "{name} belongs to the connection, not to one end: leave out what is before it"
            )));
        }
        self.next += 1;
        Ok(Subject { side, name, field })
    }

    /// Reads an operator that the field allows.
    fn operator(&mut self, name: &str, field: Field) -> Result<Operator, ExpressionError> {
        let Some(Token::Operator(operator)) = self.peek().cloned() else {
            return Err(self.wrong(format!("expected an operator after {name}: =, !=, >, >=, < or <=")));
        };
        let is_number = matches!(field, Field::Measure(_));
        if !is_number && !matches!(operator, Operator::Equal | Operator::NotEqual) {
            return Err(self.wrong(format!("{name} can only be compared with = and !=")));
        }
        self.next += 1;
        Ok(operator)
    }

    /// Reads a value, or a list of values that are separated by commas.
    fn values<T>(&mut self, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, ExpressionError> {
        let words: Vec<String> = match self.peek().cloned() {
            Some(Token::Quoted(text)) => vec![text],
            Some(Token::Word(text)) => text.split(',').map(str::to_owned).collect(),
            _ => return Err(self.wrong("expected a value")),
        };
        let values: Result<Vec<T>, String> = words
            .iter()
            .map(|word| if word.is_empty() { Err("a value is empty".to_owned()) } else { parse(word) })
            .collect();
        let values = values.map_err(|message| self.wrong(message))?;
        self.next += 1;
        Ok(values)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn take(&mut self, wanted: &Token) -> bool {
        let is_next = self.peek() == Some(wanted);
        self.next += usize::from(is_next);
        is_next
    }

    fn is_keyword(&self, keyword: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword))
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let is_next = self.is_keyword(keyword);
        self.next += usize::from(is_next);
        is_next
    }

    /// Returns the byte offset of the next token, or of the end.
    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.text.trim_end().len(), |(at, _)| *at)
    }

    fn wrong(&self, message: impl Into<String>) -> ExpressionError {
        ExpressionError::new(self.text, self.at(), message)
    }
}

/// Reads a pattern. If the field has only a few values, the pattern must be one of them.
fn pattern(field: TextField, word: &str) -> Result<NamePattern, String> {
    let known = field.values();
    if !known.is_empty() && !known.contains(&word) {
        let hint = near_miss(word, known.iter().copied())
            .map_or_else(String::new, |meant| format!(" (did you mean {meant}?)"));
        // A value with a space must be quoted.
        let quoted =
            |value: &&str| if value.contains(' ') { format!("{value:?}") } else { (*value).to_owned() };
        let known: Vec<String> = known.iter().map(quoted).collect();
        return Err(format!("unknown value {word:?}{hint}: known are {}", known.join(", ")));
    }
    word.parse().map_err(|error| format!("{error}"))
}

/// Reads the number with which a measure is compared.
fn bound(measure: Measure, word: &str) -> Result<Bound, String> {
    if measure.is_time() {
        let time: GoDuration = word.parse().map_err(|error| format!("{error}"))?;
        return Ok(Bound::Value(u64::try_from(time.0.as_nanos()).unwrap_or(u64::MAX)));
    }
    if !measure.is_segments() {
        let size: ByteSize = word.parse().map_err(|error| format!("{error}"))?;
        return Ok(Bound::Value(size.0));
    }
    match word.strip_suffix('%') {
        Some(percent) => match percent.parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Bound::Share(percent / 100.0)),
            _ => Err(format!("{word:?} is not a percentage between 0% and 100%")),
        },
        None => word
            .parse()
            .map(Bound::Value)
            .map_err(|_| format!("{word:?} is neither a number of segments nor a percentage such as 1%")),
    }
}
