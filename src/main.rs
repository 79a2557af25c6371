//! `longwave` reports what every TCP connection of this host does. This crate contains only the commands. The other crates are
//! described in `docs/ARCHITECTURE.md`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(cli::parse(std::env::args_os()).unwrap_or_else(|error| error.exit()))
}
