//! Developer commands: `cargo xtask <command>`. Nothing here ships; it may print to stdout.
#![allow(clippy::print_stdout)]

use anyhow::Result;
use clap::{Parser, Subcommand};

mod cache;
mod sh;

/// Developer commands of Longwave.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print where downloads and builds outside the tree are kept.
    Cache,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Cache => {
            println!("{}", cache::root()?.display());
            Ok(())
        }
    }
}
