//! Progress of a test that takes minutes.

use std::time::Instant;

/// Reports progress on stderr.
pub struct Steps {
    test: &'static str,
    started: Instant,
}

// === impl Steps ===

impl Steps {
    /// Starts the clock.
    pub fn new(test: &'static str) -> Self {
        Self { test, started: Instant::now() }
    }

    /// Reports a step that is done, with the seconds since the start.
    pub fn done(&self, what: &str) {
        eprintln!("{}: {:5.1} s: {what}", self.test, self.started.elapsed().as_secs_f64());
    }
}
