//! Commands and their flags.

mod check;
mod components;
mod configuration;
mod default;
mod init;
mod logging;
mod manual;
mod observe;
mod print_config;
mod resource;
mod run;
mod running;
mod signals;
mod top;
mod validate;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use longwave_pipeline::component::{ReaderEnded, Registry, with_causes};

/// Reports what every TCP connection of this host does: bytes, retransmits, losses, round-trip times, state, every 5 seconds.
///
/// Without a configuration it prints a table every 5 seconds (in a pipe: JSON lines), with names from Kubernetes (in a pod), Docker and cgroups.
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
    Run(SourceArgs),
    /// Check the configuration and create its components, without starting them.
    Validate(SourceArgs),
    /// List the component types of this binary, or the settings of one: `longwave components window`.
    Components {
        /// Component type, such as `bpf`, or `telemetry` for `service::telemetry`.
        name: Option<String>,
    },
    /// Print the configuration with all defaults, and with secrets redacted.
    PrintConfig(SourceArgs),
    /// Print what this host provides, what is missing, and whether the receiver bpf can start.
    Check(SourceArgs),
    /// Show the connections of this host on the whole screen. The key ? shows all keys.
    Top(TopArgs),
    /// Print connections as they open, send and close, one line for each record.
    Observe(ObserveArgs),
    /// Write a commented configuration for this host.
    Init {
        /// New file; `-` is stdout.
        #[arg(default_value = "longwave.yaml")]
        path: PathBuf,
    },
    /// Print a script that completes commands and flags: `longwave completions bash`.
    Completions {
        /// Shell that runs the script.
        shell: Shell,
    },
    /// Print the man page: `longwave man | man -l -`.
    Man,
    /// Print the version.
    Version,
}

/// Flags of `observe`.
#[derive(Args)]
pub(crate) struct ObserveArgs {
    /// Condition on the records: `workload=web and (rtt>50ms or retransmits>1%)`. Default: all records.
    expression: Vec<String>,
    /// Record file, or socket of an exporter live. Default: the socket of the Longwave that runs on this host, else the sockets of this host.
    #[arg(short, long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Format of the output.
    #[arg(short, long, value_enum, default_value_t)]
    output: observe::Output,
}

/// Flags of `top`.
#[derive(Args)]
pub(crate) struct TopArgs {
    /// Condition on the connections, as after the key /: `workload=web and rtt>50ms`. Or the path of a record file.
    expression: Vec<String>,
    /// Record file, or socket of an exporter live. Default: the socket of the Longwave that runs on this host, else the sockets of this host.
    #[arg(short, long, value_name = "PATH")]
    file: Option<PathBuf>,
}

/// Flags that select the configuration. They are valid before and after a command that reads one.
#[derive(Args, Default)]
pub(crate) struct SourceArgs {
    /// File, URL, `env:NAME` (a variable that contains YAML) or `yaml:a::b: c`. Several are merged in their order: maps are merged deeply,
    /// lists are replaced, and null erases.
    #[arg(short, long, value_name = "SOURCE")]
    config: Vec<String>,
    /// Set one value, after all files: `receivers.bpf.interval=1s`. Can be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

const NO_CONFIGURATION: &str = "this command reads no configuration: leave out --config and --set";

/// Reads the command line.
///
/// # Errors
/// The command line is not valid, or requests the help or the version.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(args).map_err(|mut error| {
        let flag = error.get(ContextKind::InvalidArg).map(ToString::to_string);
        // Only a command that reads no configuration does not have these flags.
        if matches!(flag.as_deref(), Some("-c" | "--config" | "--set"))
            && error.kind() == ErrorKind::UnknownArgument
        {
            let remedy = ContextValue::StyledStrs(vec![NO_CONFIGURATION.into()]);
            error.insert(ContextKind::Suggested, remedy);
        }
        error
    })
}

/// Runs the command. Writes an error with its causes to stderr, unless the error is that the program that reads stdout has ended.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let registry = registry();
    let result = run_command(cli, &registry);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if ReaderEnded::caused(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            // If stderr is closed, the error cannot be reported.
            let _ = writeln!(std::io::stderr(), "Error: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run_command(cli: Cli, registry: &Registry) -> anyhow::Result<()> {
    let Cli { command, mut sources } = cli;
    let command = command.unwrap_or_else(|| Command::Run(SourceArgs::default()));
    match &command {
        Command::Run(more) | Command::Validate(more) | Command::PrintConfig(more) | Command::Check(more) => {
            sources.append(more)
        }
        _ => sources.refuse()?,
    }
    let sources = &sources;
    match command {
        Command::Run(_) => run::run(sources, registry),
        Command::Validate(_) => validate::run(sources, registry),
        Command::Components { name: None } => components::run(registry),
        Command::Components { name: Some(name) } => components::describe(registry, &name),
        Command::PrintConfig(_) => print_config::run(sources, registry),
        Command::Check(_) => check::run(sources, registry),
        Command::Top(args) => top::run(&args, registry),
        Command::Observe(args) => observe::run(&args, registry),
        Command::Init { path } => init::run(&path),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man => manual::page(),
        Command::Version => print(concat!("longwave ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

// === impl SourceArgs ===

impl SourceArgs {
    /// Adds the flags that follow the command to those before it.
    fn append(&mut self, more: &Self) {
        self.config.extend_from_slice(&more.config);
        self.set.extend_from_slice(&more.set);
    }

    /// Refuses the flags before a command that reads no configuration, so that no flag is ignored.
    fn refuse(&self) -> anyhow::Result<()> {
        ensure!(self.config.is_empty() && self.set.is_empty(), NO_CONFIGURATION);
        Ok(())
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
