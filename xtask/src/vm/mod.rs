//! Debian's stock kernels in QEMU without KVM: where the privileged tests meet kernels other than this host's.
//!
//! A run is one machine: a kernel that was unpacked, not installed; an initramfs with busybox, `ip`, `nft`
//! and the files given; one command; its exit code. Inside, `LONGWAVE_VM` holds the kernel's series.

mod initramfs;
mod kernel;
mod machine;
mod module;
pub mod suite;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};

use machine::{GuestFile, Job};

/// `cargo xtask vm …`
#[derive(Subcommand)]
pub enum Command {
    /// Download and unpack a stock kernel into the cache, and print where it is.
    Kernel(Machine),
    /// Run one static program in a virtual machine; its exit code becomes ours.
    Run {
        #[command(flatten)]
        machine: Machine,
        /// More files for the guest: HOST or HOST:GUEST (default: /bin/<file name>). Repeatable.
        #[arg(long = "file", value_name = "HOST[:GUEST]")]
        files: Vec<String>,
        /// Environment of the program. Repeatable.
        #[arg(long = "env", value_name = "NAME=VALUE")]
        env: Vec<String>,
        /// The program: a file of the host (copied to /bin) or, if there is none, a command of the guest.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Build the privileged tests and `longwave` statically, and run each test binary in a virtual machine.
    Test {
        #[command(flatten)]
        machine: Machine,
        /// Test binaries of the tests crate, with globs. Repeatable.
        #[arg(long = "binary", value_name = "NAME", default_value = "privileged*")]
        binaries: Vec<String>,
        /// Arguments of the test binaries: name filters, `--nocapture`, …
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

/// Which kernel, and for how long.
#[derive(Args)]
pub struct Machine {
    /// Kernel series.
    #[arg(long, value_enum)]
    pub kernel: Series,
    /// Seconds after which a machine is killed.
    #[arg(long, default_value_t = 900, value_name = "SECS")]
    pub timeout: u64,
}

/// A kernel series that Debian 12 ships.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Series {
    /// The oldest that Longwave is tested on.
    #[value(name = "6.1")]
    V6_1,
    /// The current long-term one.
    #[value(name = "6.12")]
    V6_12,
}

impl Series {
    /// As in package names: `6.12`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        }
    }
}

/// Runs one `vm` command.
pub fn main(command: Command) -> Result<ExitCode> {
    match command {
        Command::Kernel(machine) => {
            println!("{}", kernel::fetch(machine.kernel)?.folder.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Run { machine, files, env, command } => {
            let job = job(&machine, &files, env, command)?;
            let ended = machine::run(&kernel::fetch(machine.kernel)?, &job)?;
            eprintln!("vm: {ended}; log: {}", job.log.display());
            Ok(ExitCode::from(ended.code))
        }
        Command::Test { machine, binaries, arguments } => suite::run(&machine, &binaries, &arguments),
    }
}

fn job(machine: &Machine, files: &[String], env: Vec<String>, mut command: Vec<String>) -> Result<Job> {
    let mut guest_files = Vec::new();
    let mut name = "command".to_owned();
    if let Some(program) = command.first_mut() {
        let host = PathBuf::from(program.as_str());
        name = file_name(&host)?;
        if host.is_file() {
            let file = GuestFile::in_bin(host)?;
            program.clone_from(&file.guest);
            guest_files.push(file);
        }
    }
    for file in files {
        guest_files.push(match file.split_once(':') {
            Some((host, guest)) => GuestFile { host: host.into(), guest: guest.to_owned() },
            None => GuestFile::in_bin(file.into())?,
        });
    }
    for pair in &env {
        if !pair.contains('=') {
            bail!("vm: --env {pair}: must be NAME=VALUE");
        }
    }
    Ok(Job {
        series: machine.kernel,
        timeout: Duration::from_secs(machine.timeout),
        files: guest_files,
        env,
        command,
        log: machine::log_file(machine.kernel, &name)?,
    })
}

fn file_name(path: &std::path::Path) -> Result<String> {
    let name = path.file_name().with_context(|| format!("vm: {}: has no file name", path.display()))?;
    Ok(name.to_string_lossy().into_owned())
}
