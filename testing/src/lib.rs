//! What the tests and benches of several crates share: golden records, network namespaces, a harness for tests that may be skipped, and
//! the CPU time of benches.
//!
//! Other crates depend on it as a dev-dependency only. The unit tests of `longwave-pipeline` cannot use [`golden`]: its records are those
//! of the library as its dependents see it, which the compiler takes for other types than those of the unit tests.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

#[cfg(feature = "cpu-time")]
pub mod cpu_time;
pub mod gate;
pub mod golden;
pub mod harness;
pub mod netns;
