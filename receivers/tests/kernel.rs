//! The kernel side on the running kernel, with real sockets. Needs root and BPF: skipped elsewhere, unless
//! `LONGWAVE_REQUIRE_BPF=1`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "kernel/bench.rs"]
mod bench;
#[path = "kernel/connections.rs"]
mod connections;
#[path = "kernel/host.rs"]
mod host;
#[path = "kernel/limits.rs"]
mod limits;
#[path = "kernel/load.rs"]
mod load;
#[path = "kernel/opening.rs"]
mod opening;
#[path = "kernel/seeding.rs"]
mod seeding;
