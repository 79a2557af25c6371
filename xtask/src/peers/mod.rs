//! Real peers for the end-to-end tests, built from package registries into the cache.
//!
//! Tests find them without calling xtask: `$LONGWAVE_CACHE` (else `~/.cache/longwave`) +
//! `/peers/otelcol-0.162.0/otelcol`, `/peers/kubernetes-1.34.4/{kubelet,kube-proxy,…,informer}`.

mod collector;
pub mod kubernetes;

use anyhow::Result;
use clap::{Subcommand, ValueEnum};

/// `cargo xtask peers …`
#[derive(Subcommand)]
pub enum Command {
    /// Build an OpenTelemetry Collector from Go modules (about two minutes, once) and print its path.
    Collector,
    /// Build Kubernetes and a plain informer from Go modules (about seven minutes, once), install what it stands on from Debian, and print
    /// its folder.
    Kubernetes,
    /// Build kubectl alone (about a minute, once), of the same version, and print its path.
    Kubectl,
    /// Print where a peer is, or would be; builds nothing.
    Path {
        /// Which peer.
        peer: Peer,
    },
}

/// What the tests talk to.
#[derive(Clone, Copy, ValueEnum)]
pub enum Peer {
    /// The OpenTelemetry Collector's binary.
    Collector,
    /// The folder of Kubernetes' binaries.
    Kubernetes,
}

/// Runs one `peers` command; without one, builds every peer.
pub fn main(command: Option<Command>) -> Result<()> {
    let path = match command {
        None => {
            println!("{}", collector::build()?.display());
            kubernetes::build()?
        }
        Some(Command::Collector) => collector::build()?,
        Some(Command::Kubernetes) => kubernetes::build()?,
        Some(Command::Kubectl) => kubernetes::build_client()?,
        Some(Command::Path { peer: Peer::Collector }) => collector::path()?,
        Some(Command::Path { peer: Peer::Kubernetes }) => kubernetes::folder()?,
    };
    println!("{}", path.display());
    Ok(())
}
