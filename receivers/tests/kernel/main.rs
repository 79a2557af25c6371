//! The kernel side on the running kernel, with real sockets.
//!
//! These tests need root and BPF. They are skipped elsewhere, unless `LONGWAVE_REQUIRE_BPF=1`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod connections;
mod host;
mod limits;
mod load;
mod opening;
mod seeding;
