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
/// Without a configuration it prints a table every 5 seconds, with names from Kubernetes (in a pod), Docker and cgroups.
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
    /// Run the pipelines (default).
    Run,
    /// Check the configuration and create its components, without starting them.
    Validate,
    /// List the component types of this binary.
    Components,
    /// Print the configuration with all defaults, and with secrets redacted.
    PrintConfig,
    /// Print what this host provides and what is missing, and try the start of the bpf receiver.
    Check,
}

/// Flags that select the configuration.
#[derive(Args)]
pub(crate) struct SourceArgs {
    /// File, `env:NAME` (a variable that contains YAML) or `yaml:a::b: c`. If repeated, later ones are merged into earlier ones:
    /// maps deeply, lists replaced, null erases.
    #[arg(long, global = true, value_name = "SOURCE")]
    config: Vec<String>,
    /// Set one value, after all files: `receivers.bpf.interval=1s`. Can be repeated.
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
