//! Builds the real peers of the end-to-end tests into the cache, from package registries.
//!
//! Their paths in `$LONGWAVE_CACHE` (default: `~/.cache/longwave`) are `peers/otelcol-0.161.0/otelcol`,
//! `peers/helm-3.22.0/helm`, `peers/prometheus-0.310.0/prometheus` and `peers/kubernetes-1.34.4/{kubelet,kube-proxy,…,informer}`.

mod collector;
mod helm;
pub mod kubernetes;
mod prometheus;

use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};
use serde::Deserialize;

use crate::sh;

/// `cargo xtask peers …`
#[derive(Subcommand)]
pub enum Command {
    /// Build an OpenTelemetry Collector from Go modules (about two minutes, once) and print its path.
    Collector,
    /// Build Helm from Go modules (about a minute, once) and print its path. Also copies definitions of the Prometheus operator.
    Helm,
    /// Build Prometheus from Go modules (about three minutes, once) and print its path.
    Prometheus,
    /// Build Kubernetes and a plain informer from Go modules (about seven minutes, once), install the Debian packages that Kubernetes
    /// needs, and print its folder.
    Kubernetes,
    /// Build only kubectl of the same version (about a minute, once), and print its path.
    Kubectl,
    /// Print the path of a peer, whether it is built or not.
    Path {
        /// The peer.
        peer: Peer,
    },
}

/// A program that the tests use.
#[derive(Clone, Copy, ValueEnum)]
pub enum Peer {
    /// Path of the OpenTelemetry Collector.
    Collector,
    /// Path of Helm.
    Helm,
    /// Path of Prometheus.
    Prometheus,
    /// Folder of the programs of Kubernetes.
    Kubernetes,
}

/// Runs a `peers` command. Without one, builds every peer.
pub fn main(command: Option<Command>) -> Result<()> {
    let path = match command {
        None => {
            println!("{}", collector::build()?.display());
            println!("{}", helm::build()?.display());
            println!("{}", prometheus::build()?.display());
            kubernetes::build()?
        }
        Some(Command::Collector) => collector::build()?,
        Some(Command::Helm) => helm::build()?,
        Some(Command::Prometheus) => prometheus::build()?,
        Some(Command::Kubernetes) => kubernetes::build()?,
        Some(Command::Kubectl) => kubernetes::build_client()?,
        Some(Command::Path { peer: Peer::Collector }) => collector::path()?,
        Some(Command::Path { peer: Peer::Helm }) => helm::path()?,
        Some(Command::Path { peer: Peer::Prometheus }) => prometheus::path()?,
        Some(Command::Path { peer: Peer::Kubernetes }) => kubernetes::folder()?,
    };
    println!("{}", path.display());
    Ok(())
}

/// Returns an error that names the remedy if there is no Go.
fn require_go(peer: &str) -> Result<()> {
    if Process::new("go").arg("version").stdout(Stdio::null()).status().is_err() {
        bail!("peers: {peer}: `go` was not found: install Go 1.25 or newer and put it on the PATH");
    }
    Ok(())
}

/// Folder and `go.mod` of a downloaded module.
#[derive(Deserialize)]
struct Module {
    #[serde(rename = "Dir")]
    folder: PathBuf,
    #[serde(rename = "GoMod")]
    go_mod: PathBuf,
}

/// Downloads a module, such as `k8s.io/kubernetes@v1.34.4`. `work` is a folder without a `go.mod`, because `go` would use it.
fn download(module: &str, work: &Path) -> Result<Module> {
    let json = sh::output(Process::new("go").args(["mod", "download", "-json", module]).current_dir(work))?;
    serde_json::from_str(&json).with_context(|| format!("peers: {module}: the output of go"))
}
