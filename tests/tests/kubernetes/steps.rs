//! How far a test is, and since when: where its time goes.

use std::time::Instant;

/// Tells on stderr.
pub struct Steps {
    test: &'static str,
    started: Instant,
}

// === impl Steps ===

impl Steps {
    /// Time runs from now on.
    pub fn new(test: &'static str) -> Self {
        Self { test, started: Instant::now() }
    }

    /// This is done.
    pub fn done(&self, what: &str) {
        eprintln!("{}: {:5.1} s: {what}", self.test, self.started.elapsed().as_secs_f64());
    }
}
