//! From a tree to typed settings, with all that is wrong at once.
//!
//! serde stops at the first error. So: unknown keys are collected on the way without stopping (a struct tells its
//! fields before it is read), and after any other error the node at fault is left out and the whole is decoded again,
//! until nothing new is found. What only follows from leaving something out is not reported.

mod access;
mod failure;
mod node;

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::{ConfigError, ConfigPath, Value};
use failure::Failure;
use node::{Node, Trail};

/// Errors in one component; what is beyond is found once these are mended.
const MAX_ERRORS: usize = 100;

/// Decodes the settings at `path` (for example `processors::window`). Null gives the type's defaults.
///
/// Unlike serde's usual formats: a missing or null key takes its default; a text such as `a,b` is a list where a list
/// is wanted; a whole number is accepted where a fraction is; what came whole from a variable gives its original text
/// where a text is wanted. Unknown keys are errors without `deny_unknown_fields`, but not in a struct with
/// `#[serde(flatten)]`, which does not tell its fields: avoid it.
///
/// # Errors
/// All at once, each with `path` and the field below it.
pub fn decode<T: DeserializeOwned>(value: &Value, path: &ConfigPath) -> Result<T, Vec<ConfigError>> {
    decode_and_check(value, path, |_| Vec::new())
}

/// [`decode`], and what `check` finds in the settings, at once: where something could not be decoded, `check` sees its default in its
/// place, and what it says about that place is not reported.
///
/// # Errors
/// As [`decode`]'s, then `check`'s.
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

/// What is known after some rounds of decoding.
pub(crate) struct Session {
    base: ConfigPath,
    /// Nodes that are treated as if they were not there, below the base, and whether an error says so.
    left_out: BTreeMap<ConfigPath, bool>,
    errors: RefCell<Vec<ConfigError>>,
}

impl Session {
    /// Remembers `error` unless an earlier round did.
    fn report(&self, error: ConfigError) {
        let mut errors = self.errors.borrow_mut();
        if !errors.contains(&error) {
            errors.push(error);
        }
    }

    /// Reports what a check found, unless it is about something that was left out, or that has something left out in it.
    fn report_checked(&self, found: Vec<ConfigError>) {
        for error in found {
            let place = error.full_path();
            let left_out = |below: &ConfigPath| {
                let node = self.base.join(below);
                place == node || place.is_below(&node) || node.is_below(&place)
            };
            if !self.left_out.keys().any(left_out) {
                self.report(error);
            }
        }
    }

    /// Reports the failure, unless it only follows from an earlier one. Returns whether another round may find more.
    fn leave_out(&mut self, failure: Failure) -> bool {
        let mut node = failure.node();
        let told = |path: &ConfigPath| self.left_out.get(path) == Some(&true);
        let consequence = match failure.missing_field() {
            Some(field) => told(&node.child(field)),
            None => self.left_out.iter().any(|(left_out, told)| *told && left_out.is_below(&node)),
        };
        // A variable that is set to nothing is as good as one that is not set, where nothing depends on it.
        let silent = failure.is_of_empty_variable() && !self.left_out.contains_key(&node);
        if !consequence && !silent {
            self.report(failure.into_error(&self.base));
        }
        // Some nodes cannot be left out by themselves: the content of an enum's variant.
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
