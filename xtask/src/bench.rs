//! `cargo xtask bench`: measures what Longwave costs on this machine. Prints the results and asserts nothing.

use std::process::Command;

use anyhow::{Result, bail};

use crate::cache::workspace;
use crate::{ebpf, sh};

/// What is measured.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Subject {
    /// The cost for applications (connect/close, request/response, bulk, small writes), compared with the hooks that other tools use.
    Traffic,
    /// The cost of a sampling pass: 10,000 to 300,000 sockets, idle and busy.
    Sampling,
}

/// Runs a bench with the release build.
pub fn main(subject: Subject, filter: Option<&str>) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("bench: loading BPF programs needs root: run it as root");
    }
    let object = ebpf::bench_object()?;
    let cargo = || {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(workspace());
        command
    };
    sh::run(cargo().args(["build", "--release", "--locked"]))?;
    let name = match subject {
        Subject::Traffic => "traffic",
        Subject::Sampling => "sampling",
    };
    let mut bench = cargo();
    bench.args(["bench", "--locked", "--package", "longwave-tests", "--bench", name]);
    bench.args(filter.into_iter().flat_map(|filter| ["--", filter]));
    sh::run(
        bench
            .env("LONGWAVE_BENCH_OBJECT", object)
            .env("LONGWAVE_BIN", workspace().join("target/release/longwave")),
    )
}
