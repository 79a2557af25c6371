//! Likely causes of YAML errors.

use super::read::OURS;
use crate::{ConfigError, ConfigPath};

/// Returns an error with source, line, column, the parser's message and the likely cause.
pub(super) fn explain(error: &serde_yaml::Error, text: &str, source: &str) -> ConfigError {
    let shown = error.to_string();
    let position = error.location().map(|at| (at.line(), at.column()));
    if let Some((_, ours)) = shown.split_once(OURS) {
        return at(source, position, without_position(ours));
    }
    let line = position.and_then(|(line, _)| text.lines().nth(line.saturating_sub(1))).unwrap_or_default();
    let previous = position.and_then(|(line, _)| text.lines().nth(line.checked_sub(2)?)).unwrap_or_default();
    let problem = without_position(&shown);
    let context =
        shown.split_once(", while ").map(|(_, context)| without_position(context)).unwrap_or_default();
    let error = at(source, position, problem);
    // For a bracket or quote that is not closed, the parser reports the opening one as context.
    let begins = shown.split_once(", while ").and_then(|(_, context)| context.split_once(" at line "));
    let begins = begins.and_then(|(_, position)| position.split(' ').next());
    match (likely_cause(problem, context, line, previous), begins) {
        (Some(cause), Some(line)) if cause.contains("not closed") => {
            error.hint(format_args!("{cause}: it starts at line {line}"))
        }
        (Some(cause), _) => error.hint(cause),
        (None, _) => error,
    }
}

fn at(source: &str, position: Option<(usize, usize)>, problem: &str) -> ConfigError {
    match position {
        // In a `--set` flag the line is always 1, so it is not printed.
        Some((line, column)) if !source.starts_with("--") => {
            ConfigError::new(ConfigPath::root(), format_args!("{source}:{line}:{column}: {problem}"))
        }
        _ => ConfigError::new(ConfigPath::root(), format_args!("{source}: {problem}")),
    }
}

/// Removes the library's ` at line 3 column 5` from the end. The errors of this crate start with the position.
fn without_position(text: &str) -> &str {
    text.split(" at line ").next().unwrap_or(text)
}

fn likely_cause(problem: &str, context: &str, line: &str, previous: &str) -> Option<&'static str> {
    let indented_by_tab = |line: &str| line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t');
    if indented_by_tab(line) || indented_by_tab(previous) {
        return Some("a tab indents this line: YAML allows spaces only");
    }
    let causes: [(&str, &str); 11] = [
        (
            "mapping values are not allowed",
            "check the indentation of this line and of the one above; quote a string that contains a colon and a space",
        ),
        ("did not find expected key", "check the indentation: the keys of one map start in the same column"),
        (
            "did not find expected '-' indicator",
            "check the indentation: the elements of one list start in the same column",
        ),
        ("did not find expected ',' or '", "a [ or { is not closed, or a comma is missing"),
        ("found unexpected end of stream", "a quote is not closed"),
        (
            "found character that cannot start any token",
            "quote a string that starts with @, ` or %, and indent with spaces",
        ),
        (
            "found unknown escape character",
            "in double quotes write \\\\ for a backslash, or use single quotes",
        ),
        ("could not find expected ':'", "is a colon missing, or the space after it?"),
        ("unknown anchor", "quote a string that starts with *, or define the anchor with & first"),
        ("did not find expected alphabetic or numeric character", "quote a string that starts with * or &"),
        ("control characters are not allowed", "is this a text file?"),
    ];
    if context.contains("flow") && problem.contains("did not find expected node content") {
        return Some("a [ or { is not closed, or there is an extra comma");
    }
    let limit = problem
        .contains("limit exceeded")
        .then_some("the document is nested too deeply, or its anchors expand to too many nodes");
    causes.iter().find(|(part, _)| problem.contains(part)).map(|(_, cause)| *cause).or(limit)
}
