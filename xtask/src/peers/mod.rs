//! Real peers for the end-to-end tests, built from package registries into the cache.
//!
//! Tests find them without calling xtask: `$LONGWAVE_CACHE` (else `~/.cache/longwave`) +
//! `/peers/otelcol-0.162.0/otelcol`.

mod collector;

use anyhow::Result;
use clap::{Subcommand, ValueEnum};

/// `cargo xtask peers …`
#[derive(Subcommand)]
pub enum Command {
    /// Build an OpenTelemetry Collector from Go modules (about two minutes, once) and print its path.
    Collector,
    /// Print where a peer's binary is, or would be; builds nothing.
    Path {
        /// Which peer.
        peer: Peer,
    },
}

/// A program that the tests talk to.
#[derive(Clone, Copy, ValueEnum)]
pub enum Peer {
    /// The OpenTelemetry Collector.
    Collector,
}

/// Runs one `peers` command; without one, builds every peer.
pub fn main(command: Option<Command>) -> Result<()> {
    match command.unwrap_or(Command::Collector) {
        Command::Collector => println!("{}", collector::build()?.display()),
        Command::Path { peer: Peer::Collector } => println!("{}", collector::path()?.display()),
    }
    Ok(())
}
