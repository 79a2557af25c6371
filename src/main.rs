//! `longwave` reports what every TCP connection of this host does. This crate contains only the commands. The other crates are
//! described in `docs/ARCHITECTURE.md`.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli::run(cli::Cli::parse())
}
