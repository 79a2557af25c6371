//! Processes, identified by pid and start time, because the kernel reuses pids.

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

/// Identity of a process. It stays unique when the kernel reuses the pid.
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

    /// Returns whether the process is running. A zombie is not.
    pub fn alive(&self) -> bool {
        stat(self.pid).is_some_and(|(state, started)| state != 'Z' && started == self.started)
    }

    /// Ends the process. Sends SIGTERM, waits for `grace_period`, and then sends SIGKILL. If `grace_period` is zero, only sends SIGKILL.
    /// Returns when the process has ended.
    pub fn end(&self, grace_period: Duration) -> Result<()> {
        let Some(handle) = self.handle() else { return Ok(()) };
        if !grace_period.is_zero() {
            // Fails if the process has ended.
            let _ = pidfd_send_signal(&handle, Signal::TERM);
            if ended(&handle, grace_period) {
                return Ok(());
            }
        }
        let _ = pidfd_send_signal(&handle, Signal::KILL);
        if ended(&handle, Duration::from_secs(20)) {
            return Ok(());
        }
        bail!("cluster: {} (pid {}) did not end after SIGKILL: see /proc/{1}/stack", self.name, self.pid)
    }

    /// Opens a descriptor of the process. `None` if the process has ended. The check comes after the open: if the
    /// recorded process is still running then, the descriptor must refer to it.
    fn handle(&self) -> Option<OwnedFd> {
        let handle = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        self.alive().then_some(handle)
    }
}

/// Waits until the process has ended. Returns whether it has within `limit`.
fn ended(handle: &OwnedFd, limit: Duration) -> bool {
    let until = Instant::now() + limit;
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

/// Returns state and start time. In the file they follow the name, which is in parentheses and may contain any character.
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
