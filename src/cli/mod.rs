//! Commands and their flags.

mod check;
mod components;
mod configuration;
mod default;
mod logging;
mod print_config;
mod resource;
mod run;
mod signals;
mod validate;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use longwave_pipeline::component::{Registry, with_causes};

/// Reports what every TCP connection of this host does: bytes, retransmits, losses, round-trip times, state, every 5 seconds.
///
/// Without a configuration it prints a table every 5 seconds, with the names that Kubernetes (in a pod), Docker and the cgroups know.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = false)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    sources: SourceArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Run the pipelines (the default).
    Run,
    /// Check the configuration and build it, without starting anything.
    Validate,
    /// List the component types that this binary has.
    Components,
    /// Print the whole configuration with defaults filled in and secrets redacted.
    PrintConfig,
    /// Print what this host offers and lacks for the bpf receiver, and try what the receiver does at its start.
    Check,
}

/// Flags that select the configuration.
#[derive(Args)]
pub(crate) struct SourceArgs {
    /// A file, `env:NAME` (YAML in a variable) or `yaml:a::b: c`. Repeat it to merge: maps deeply, lists replaced, null erases.
    #[arg(long, global = true, value_name = "SOURCE")]
    config: Vec<String>,
    /// Set one value after all files: `receivers.bpf.interval=1s`.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// Runs the command. Writes an error with its causes to stderr.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let registry = registry();
    let result = match cli.command.unwrap_or(Command::Run) {
        Command::Run => run::run(&cli.sources, &registry),
        Command::Validate => validate::run(&cli.sources, &registry),
        Command::Components => components::run(&registry),
        Command::PrintConfig => print_config::run(&cli.sources, &registry),
        Command::Check => check::run(&cli.sources, &registry),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If stderr is closed, the error cannot be reported.
            let _ = writeln!(std::io::stderr(), "Error: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// Returns all component types of this binary.
fn registry() -> Registry {
    Registry {
        extensions: longwave_extensions::factories(),
        receivers: longwave_receivers::factories(),
        processors: longwave_processors::factories(),
        exporters: longwave_exporters::factories(),
    }
}

/// Writes to stdout. A closed pipe is not an error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
