//! Decodes a tree into typed settings and reports all errors at once.
//!
//! serde stops at the first error. To find all of them:
//!
//! - Unknown keys are collected without stopping: serde passes the field names of a struct before it reads the struct.
//! - After any other error the node with the error is left out, and the whole tree is decoded again, until a round finds
//!   nothing new. An error that only follows from a node that was left out is not reported.

mod access;
mod failure;
mod node;

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::{ConfigError, ConfigPath, Value};
use failure::Failure;
use node::{Node, Trail};

/// Maximum number of errors that are reported for one component. The user sees the others after fixing these.
const MAX_ERRORS: usize = 100;

/// Decodes the settings at `path` (for example `processors::window`). Null gives the type's defaults.
///
/// Differences from serde's usual formats:
///
/// - A key that is missing or null takes its default.
/// - A string such as `a,b` is accepted as a list.
/// - A whole number is accepted as a fraction.
/// - A value that came from one `${…}` reference gives its original text to a string field.
/// - Unknown keys are errors without `deny_unknown_fields`. A struct with `#[serde(flatten)]` is an exception, because serde
///   does not pass its field names: do not use `flatten` in settings.
///
/// # Errors
/// Returns all errors. Each has `path` and the field below it.
pub fn decode<T: DeserializeOwned>(value: &Value, path: &ConfigPath) -> Result<T, Vec<ConfigError>> {
    decode_and_check(value, path, |_| Vec::new())
}

/// Decodes the settings at `path` as [`decode`] does, and then runs `check` on them.
///
/// If a field could not be decoded, `check` sees the field's default, and what it reports about that field is discarded.
///
/// # Errors
/// Returns the errors of [`decode`], followed by those of `check`.
pub fn decode_and_check<T: DeserializeOwned>(
    value: &Value,
    path: &ConfigPath,
    check: impl FnOnce(&T) -> Vec<ConfigError>,
) -> Result<T, Vec<ConfigError>> {
    let mut session = Session { base: path.clone(), left_out: BTreeMap::new(), errors: RefCell::default() };
    loop {
        let root = Trail::root();
        let failure = match T::deserialize(Node::new(value, &root, &session)) {
            Ok(settings) => {
                let found = check(&settings);
                session.report_checked(found);
                if session.errors.borrow().is_empty() {
                    return Ok(settings);
                }
                break;
            }
            Err(failure) => failure.at(&root),
        };
        if !session.leave_out(failure) || session.left_out.len() >= MAX_ERRORS {
            break;
        }
    }
    Err(session.errors.into_inner())
}

/// State that is kept between the rounds of decoding.
pub(crate) struct Session {
    base: ConfigPath,
    /// Nodes that are treated as missing, as paths below `base`. The value is whether an error was reported for the node.
    left_out: BTreeMap<ConfigPath, bool>,
    errors: RefCell<Vec<ConfigError>>,
}

impl Session {
    /// Adds `error`, unless an earlier round has added it.
    fn report(&self, error: ConfigError) {
        let mut errors = self.errors.borrow_mut();
        if !errors.contains(&error) {
            errors.push(error);
        }
    }

    /// Reports the errors of a check, except those about a node that was left out, or about a node above or below one.
    fn report_checked(&self, found: Vec<ConfigError>) {
        for error in found {
            let path = error.full_path();
            let left_out = |below: &ConfigPath| {
                let node = self.base.join(below);
                path == node || path.is_below(&node) || node.is_below(&path)
            };
            if !self.left_out.keys().any(left_out) {
                self.report(error);
            }
        }
    }

    /// Leaves out the node of `failure`. Reports the failure, unless it only follows from an earlier one.
    /// Returns whether another round may find more.
    fn leave_out(&mut self, failure: Failure) -> bool {
        let mut node = failure.node();
        let reported = |path: &ConfigPath| self.left_out.get(path) == Some(&true);
        let consequence = match failure.missing_field() {
            Some(field) => reported(&node.child(field)),
            None => self.left_out.iter().any(|(left_out, reported)| *reported && left_out.is_below(&node)),
        };
        // A variable that is set to the empty string counts as not set, if no required field depends on it.
        let silent = failure.is_of_empty_variable() && !self.left_out.contains_key(&node);
        if !consequence && !silent {
            self.report(failure.into_error(&self.base));
        }
        // The content of an enum's variant cannot be left out alone: leave out the enum.
        while self.left_out.contains_key(&node) && !node.is_root() {
            node = node.parent();
        }
        if node.is_root() {
            return false;
        }
        self.left_out.insert(node, !silent);
        true
    }
}
