//! Helpers for the tests and benches of several crates: golden records, network namespaces, a harness for tests that may be skipped, and
//! the measurement of CPU time in benches.
//!
//! Other crates depend on it as a dev-dependency only. The unit tests of `longwave-pipeline` cannot use [`golden`], because that crate is
//! compiled twice for them, as a library and as a test. To the compiler, the types of the two are different.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

#[cfg(feature = "cpu-time")]
pub mod cpu_time;
pub mod gate;
pub mod golden;
pub mod harness;
pub mod netns;
