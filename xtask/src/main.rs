//! Developer commands: `cargo xtask <command>`. They are not part of the product, and may print to stdout.
#![allow(clippy::print_stdout)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod apt;
mod bench;
mod cache;
mod ci;
mod cluster;
mod docs;
mod ebpf;
mod package;
mod peers;
mod sh;
mod vm;

/// Developer commands of Longwave.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the real peers that the end-to-end tests talk to, outside the tree.
    Peers {
        #[command(subcommand)]
        command: Option<peers::Command>,
    },
    /// Build the BPF object, or verify it.
    Ebpf {
        #[command(subcommand)]
        command: ebpf::Command,
    },
    /// Measure what Longwave costs on this machine (root; each under ten minutes).
    Bench {
        #[arg(value_enum)]
        subject: bench::Subject,
        /// `traffic`: only the rows whose names contain this. `sampling`: the number of sockets.
        filter: Option<String>,
    },
    /// Run programs and the privileged tests under Debian's stock kernels in QEMU.
    Vm {
        #[command(subcommand)]
        command: vm::Command,
    },
    /// Start a real Kubernetes with one node on this machine (root), or stop it and remove all that it left.
    Cluster {
        #[command(subcommand)]
        command: cluster::Command,
    },
    /// Write the pages of `docs` that are made from descriptions in the code. The tests fail if they are not current.
    Docs,
    /// Make a Debian package and a tarball: binary, systemd unit, configuration, man page, completions, documents.
    Package(package::Options),
    /// Run every check that a change must pass, each timed.
    Ci(ci::Options),
    /// Print where downloads and builds outside the tree are kept.
    Cache,
}

fn main() -> ExitCode {
    // Not `Result`: with RUST_BACKTRACE set, it would add a backtrace to the message.
    run(Cli::parse().command).unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Peers { command } => peers::main(command)?,
        Command::Ebpf { command } => ebpf::main(&command)?,
        Command::Bench { subject, filter } => bench::main(subject, filter.as_deref())?,
        Command::Vm { command } => return vm::main(command),
        Command::Cluster { command } => cluster::main(command)?,
        Command::Docs => docs::main()?,
        Command::Package(options) => package::main(&options)?,
        Command::Ci(options) => return ci::main(&options),
        Command::Cache => println!("{}", cache::root()?.display()),
    }
    Ok(ExitCode::SUCCESS)
}
