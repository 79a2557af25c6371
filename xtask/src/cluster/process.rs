//! Processes by pid and start time, because the kernel may give the pid to another process later.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process that is identified even if its pid is given to another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Name of the component, for example `kubelet`.
    pub name: String,
    /// Process id.
    pub pid: i32,
    /// Start time in clock ticks since boot.
    pub started: u64,
}

// === impl Process ===

impl Process {
    /// Starts a component that writes to `log`, in its own process group, so that Ctrl-C does not reach it.
    pub fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = fs::File::create(log).with_context(|| format!("cluster: create {}", log.display()))?;
        let copy = file.try_clone().context("cluster: duplicate the log's descriptor")?;
        command.stdin(Stdio::null()).stdout(file).stderr(copy).process_group(0);
        let child = command.spawn().with_context(|| {
            format!("cluster: {name}: {} could not be started", command.get_program().display())
        })?;
        let pid = i32::try_from(child.id()).context("cluster: a pid above 2^31")?;
        match Self::of(name, pid) {
            Some(process) => Ok(process),
            None => bail!("cluster: {name} ended immediately"),
        }
    }

    /// Returns the process that has this pid now. `None` if there is none, or only a zombie.
    pub fn of(name: &str, pid: i32) -> Option<Self> {
        let (state, started) = stat(pid)?;
        (state != 'Z').then(|| Self { name: name.to_owned(), pid, started })
    }

    /// Whether the process is running.
    pub fn alive(&self) -> bool {
        stat(self.pid).is_some_and(|(state, started)| state != 'Z' && started == self.started)
    }

    /// Ends the process: sends SIGTERM if `patience` is not zero, and SIGKILL if that is over. Returns when the process has ended.
    pub fn end(&self, patience: Duration) -> Result<()> {
        let Some(handle) = self.handle() else { return Ok(()) };
        if !patience.is_zero() {
            // Fails if the process has ended.
            let _ = pidfd_send_signal(&handle, Signal::TERM);
            if ended(&handle, patience) {
                return Ok(());
            }
        }
        let _ = pidfd_send_signal(&handle, Signal::KILL);
        if ended(&handle, Duration::from_secs(20)) {
            return Ok(());
        }
        bail!("cluster: {} (pid {}) did not end after SIGKILL: see /proc/{0}/stack", self.name, self.pid)
    }

    /// Opens a descriptor of the process. The check comes after that, because the pid cannot be reused while the descriptor is open.
    fn handle(&self) -> Option<OwnedFd> {
        let handle = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        self.alive().then_some(handle)
    }
}

fn ended(handle: &OwnedFd, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&timeout)) {
            Ok(count) => return count > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// Returns state and start time. They come after the name, which may contain any character, also parentheses.
fn stat(pid: i32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.first()?.chars().next()?, fields.get(19)?.parse().ok()?))
}

/// Returns every process whose arguments satisfy `wanted`.
pub fn find(name: &str, wanted: impl Fn(&[&str]) -> bool) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line);
        let arguments: Vec<&str> = line.split('\0').collect();
        if wanted(&arguments) { Process::of(name, pid) } else { None }
    })
    .collect()
}

#[cfg(test)]
mod tests;
