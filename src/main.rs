//! `longwave`: reports what every TCP connection of this host does. Commands only; see `docs/ARCHITECTURE.md` for the rest.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli::run(cli::Cli::parse())
}
