//! Environment variables that `${env:X}` refers to.

use std::ffi::OsString;

/// Environment variables that a configuration can refer to. Tests pass a closure `Fn(&str) -> Option<String>`.
pub trait Environment: Send + Sync {
    /// Returns the value of `name`, or `None` if it is not set.
    fn variable(&self, name: &str) -> Option<OsString>;
}

/// Environment variables of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }
}

impl<F: Fn(&str) -> Option<String> + Send + Sync> Environment for F {
    fn variable(&self, name: &str) -> Option<OsString> {
        self(name).map(OsString::from)
    }
}
