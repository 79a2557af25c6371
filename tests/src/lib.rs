//! Longwave: tests.
