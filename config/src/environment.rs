//! Where `${env:X}` looks.

use std::ffi::OsString;

/// The variables that a configuration can refer to. A closure `Fn(&str) -> Option<String>` is one, for tests.
pub trait Environment: Send + Sync {
    /// The value of `name`; `None` if it is not set.
    fn variable(&self, name: &str) -> Option<OsString>;
}

/// The variables of this process.
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
