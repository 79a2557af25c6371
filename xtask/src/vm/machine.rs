//! Starts one virtual machine, reads its output until it reports an exit code, and ends it, within a time limit.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::initramfs;
use super::kernel::Kernel;
use super::series::KernelSeries;
use crate::{cache, sh};

/// Start of the line that a guest prints before the command starts, with its uptime in seconds.
const BOOTED: &str = "LONGWAVE_VM_BOOTED=";
/// Start of the line that a guest prints after the command, with its exit code.
const EXIT: &str = "LONGWAVE_VM_EXIT=";
/// Exit code of a machine that was killed at its time limit. `timeout` has the same.
const TIMED_OUT: u8 = 124;
/// Maximum time between the exit code and the power-off of a guest.
const POWER_OFF: Duration = Duration::from_secs(20);
/// Number of starts of a guest that ends before its init runs.
const MAX_BOOTS: u32 = 3;

/// The work of one machine.
pub struct Job {
    /// Time limit from the start of QEMU.
    pub timeout: Duration,
    /// Files that are copied into the guest. All are executable there.
    pub files: Vec<GuestFile>,
    /// Environment of the command: `NAME=VALUE`.
    pub env: Vec<String>,
    /// Program and arguments, with paths of the guest.
    pub command: Vec<String>,
    /// File for the output of the command. The output of the kernel goes to the same name with `.console` appended.
    pub log: PathBuf,
}

/// A file of the host that is copied into the guest.
pub struct GuestFile {
    /// Path on the host.
    pub host: PathBuf,
    /// Absolute path in the guest.
    pub guest: String,
}

/// How a machine ended.
pub struct Ended {
    /// Exit code of the command. 124 if the time limit was reached.
    pub code: u8,
    boot: Option<Duration>,
    total: Duration,
    /// Summary lines of tests (`test result: …`).
    pub results: Vec<String>,
}

// === impl GuestFile ===

impl GuestFile {
    /// Returns a file that is copied to `/bin/<file name>`.
    pub fn in_bin(host: PathBuf) -> Result<Self> {
        let guest = format!("/bin/{}", super::file_name(&host)?);
        Ok(Self { host, guest })
    }
}

// === impl Ended ===

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            TIMED_OUT => write!(f, "killed, because its time was over")?,
            code => write!(f, "exit code {code}")?,
        }
        if let Some(boot) = self.boot {
            write!(f, ", booted after {:.1} s", boot.as_secs_f64())?;
        }
        write!(f, ", {:.1} s in all", self.total.as_secs_f64())
    }
}

/// Returns `target/vm/logs/<name>-<series>.log` and creates its folder.
pub fn log_file(series: KernelSeries, name: &str) -> Result<PathBuf> {
    let folder = cache::workspace().join("target/vm/logs");
    fs::create_dir_all(&folder).with_context(|| format!("vm: create {}", folder.display()))?;
    Ok(folder.join(format!("{name}-{}.log", series.name)))
}

/// Boots the kernel, runs the command of the job, and prints its output to stdout.
///
/// # Errors
/// If the machine cannot be started, or ends without an exit code, as after a kernel panic.
pub fn run(kernel: &Kernel, job: &Job) -> Result<Ended> {
    let archive = job.log.with_extension(format!("{}.cpio", std::process::id()));
    let out = File::create(&archive).with_context(|| format!("vm: create {}", archive.display()))?;
    let written = initramfs::write(BufWriter::new(out), kernel, job);
    let mut ended = written.and_then(|()| boot(kernel, &archive, job));
    for _ in 1..MAX_BOOTS {
        match &ended {
            Err(error) if error.is::<DiedAtBoot>() => {
                println!("vm: starting the guest again: {error:#}");
                ended = boot(kernel, &archive, job);
            }
            _ => break,
        }
    }
    // The archive is as large as all files of the guest together.
    let _ = fs::remove_file(&archive);
    ended
}

/// The guest ended before its init ran, so that no test had begun.
///
/// QEMU emulates the CPUs in several threads. While the kernel patches its code on one CPU, another sometimes executes the breakpoint that
/// is there for a moment, and the kernel panics (`Oops: int3`).
#[derive(Debug)]
struct DiedAtBoot;

impl std::fmt::Display for DiedAtBoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("vm: the guest ended before its init ran: a kernel panic?")
    }
}

impl std::error::Error for DiedAtBoot {}

fn boot(kernel: &Kernel, archive: &Path, job: &Job) -> Result<Ended> {
    let console = PathBuf::from(format!("{}.console", job.log.display()));
    let started = Instant::now();
    let mut qemu = command(kernel, archive, &console)
        .spawn()
        .context("vm: qemu could not be started: install qemu-system-x86 and util-linux (setpriv)")?;
    let watched = sh::lines(&mut qemu).and_then(|lines| watch(&lines, job, started));
    if !matches!(&watched, Ok(ended) if ended.code != TIMED_OUT) || !ends_within(&mut qemu, POWER_OFF) {
        // Fails if QEMU has ended.
        let _ = qemu.kill();
    }
    qemu.wait().context("vm: wait for qemu")?;
    let mut ended = watched.with_context(|| tail(&console))?;
    ended.total = started.elapsed();
    Ok(ended)
}

fn command(kernel: &Kernel, archive: &Path, console: &Path) -> Command {
    // setpriv ends QEMU when this process dies.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
    command.args("-nodefaults -no-user-config -no-reboot -display none -monitor none".split(' '));
    // Without la57=off and cx16=off, long runs under emulation ended with kernel panics in page tables and slabs.
    command.args("-accel tcg,thread=multi -cpu max,la57=off,cx16=off -smp 2 -m 2G".split(' '));
    command.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(archive);
    command.args(["-append", "console=ttyS0 loglevel=5 panic=-1 oops=panic"]);
    command.arg("-serial").arg(format!("file:{}", console.display())).args(["-serial", "stdio"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

fn watch(lines: &Receiver<String>, job: &Job, started: Instant) -> Result<Ended> {
    let mut log = File::create(&job.log).with_context(|| format!("vm: create {}", job.log.display()))?;
    let mut ended = Ended { code: TIMED_OUT, boot: None, total: Duration::ZERO, results: Vec::new() };
    loop {
        let left = job.timeout.saturating_sub(started.elapsed());
        let line = match lines.recv_timeout(left) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return Ok(ended),
            Err(RecvTimeoutError::Disconnected) if ended.boot.is_none() => bail!(DiedAtBoot),
            Err(RecvTimeoutError::Disconnected) => {
                bail!(
                    "vm: the guest ended without an exit code: a kernel panic? (log: {})",
                    job.log.display()
                )
            }
        };
        if line.starts_with(BOOTED) {
            ended.boot = Some(started.elapsed());
            continue;
        }
        if let Some(code) = line.strip_prefix(EXIT) {
            let code = code.trim();
            ended.code = code.parse().with_context(|| format!("vm: exit code {code:?}"))?;
            return Ok(ended);
        }
        println!("{line}");
        writeln!(log, "{line}").with_context(|| format!("vm: write {}", job.log.display()))?;
        if line.starts_with("test result: ") {
            ended.results.push(line);
        }
    }
}

fn ends_within(child: &mut Child, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        // The standard library has no wait with a time limit.
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn tail(console: &Path) -> String {
    let bytes = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(40)..].join("\n");
    format!("vm: the last lines of {}:\n{last}\n", console.display())
}

#[cfg(test)]
mod tests;
