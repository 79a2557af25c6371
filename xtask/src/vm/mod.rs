//! Runs programs and the privileged tests under Debian's stock kernels, in QEMU without KVM.
//!
//! Each run starts one machine, executes one command in it, and returns its exit code. The kernel is unpacked but not installed. The
//! initramfs contains busybox, `ip`, `nft` and the job's files. In the guest, `LONGWAVE_VM` contains the major and minor version of the
//! kernel, for example `7.2`.

mod initramfs;
mod kernel;
mod machine;
mod module;
mod series;
pub mod suite;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use kernel::Kernel;
use machine::{GuestFile, Job};
use series::KernelSeries;

/// `cargo xtask vm …`
#[derive(Subcommand)]
pub enum Command {
    /// Download stock kernels, unpack them into the cache, and print their folders. Delete a folder to get a newer kernel.
    Kernel(Machine),
    /// Run one static program in a virtual machine for each kernel. Exits with the first exit code that is not 0.
    Run {
        #[command(flatten)]
        machine: Machine,
        /// Another file for the guest: HOST or HOST:GUEST (default: /bin/<file name>). Repeatable.
        #[arg(long = "file", value_name = "HOST[:GUEST]")]
        files: Vec<String>,
        /// Variable in the environment of the program. Repeatable.
        #[arg(long = "env", value_name = "NAME=VALUE")]
        env: Vec<String>,
        /// The program and its arguments: a file of the host, which is copied to /bin, or else a command of the guest.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Build the privileged tests and `longwave` statically, and run each test binary in a virtual machine.
    Test {
        #[command(flatten)]
        machine: Machine,
        /// Test binary of the crate longwave-tests; may contain globs. Repeatable. The default is privileged*, or too_old_kernel for a
        /// kernel that is too old for Longwave.
        #[arg(long = "binary", value_name = "NAME")]
        binaries: Vec<String>,
        /// Arguments of the test binaries: a part of a test's name, `--skip NAME`, …
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

/// The kernels of a run and its time limit.
#[derive(Args)]
pub struct Machine {
    /// Kernel series. Repeatable; `all` means every one.
    #[arg(
        long = "kernel",
        value_name = "SERIES",
        required = true,
        value_parser = PossibleValuesParser::new(series::choices())
    )]
    kernels: Vec<String>,
    /// Seconds after which a machine is killed.
    #[arg(long, default_value_t = 900, value_name = "SECS")]
    timeout: u64,
}

// === impl Machine ===

impl Machine {
    /// Returns the chosen series with their kernels, and downloads those that are not in the cache.
    fn kernels(&self) -> Result<Vec<(KernelSeries, Kernel)>> {
        series::chosen(&self.kernels).into_iter().map(|series| Ok((series, kernel::fetch(series)?))).collect()
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// Runs a `vm` command.
pub fn main(command: Command) -> Result<ExitCode> {
    match command {
        Command::Kernel(machine) => {
            for (_, kernel) in machine.kernels()? {
                println!("{}", kernel.folder.display());
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Run { machine, files, env, command } => {
            let mut code = 0;
            for (series, kernel) in machine.kernels()? {
                let job = job(&machine, series, &files, env.clone(), command.clone())?;
                let ended = machine::run(&kernel, &job)?;
                eprintln!("vm: {}: {ended}; log: {}", kernel.release, job.log.display());
                if code == 0 {
                    code = ended.code;
                }
            }
            Ok(ExitCode::from(code))
        }
        Command::Test { machine, binaries, arguments } => suite::run(&machine, &binaries, &arguments),
    }
}

fn job(
    machine: &Machine,
    series: KernelSeries,
    files: &[String],
    env: Vec<String>,
    mut command: Vec<String>,
) -> Result<Job> {
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
        timeout: machine.timeout(),
        files: guest_files,
        env,
        command,
        log: machine::log_file(series, &name)?,
    })
}

fn file_name(path: &std::path::Path) -> Result<String> {
    let name = path.file_name().with_context(|| format!("vm: {}: has no file name", path.display()))?;
    Ok(name.to_string_lossy().into_owned())
}
