//! Records the trace event `sock:inet_sock_set_state` in an instance of tracefs, without BPF.
//!
//! Some kernels run no BPF tracing program while certain processes are current. On the development machines these are the threads of pid 1:
//! an empty program on this tracepoint runs once per event, except for the events while pid 1 is current. If a softirq closes a connection
//! at such a time, no agent that uses BPF can observe it. The trace distinguishes these closes from those that Longwave lost.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::end::{EndId, canonical};

/// Records opens and closes of connections in every network namespace, until dropped.
pub struct KernelTrace {
    instance: PathBuf,
    mount: TempDir,
}

/// One transition in the trace.
#[derive(Clone, Debug)]
pub struct TracedTransition {
    /// The line of the trace: current task, CPU, context, time.
    pub line: String,
    /// Current thread.
    pub thread: u32,
    /// Whether this is a close.
    pub close: bool,
    /// Local address.
    pub local: SocketAddr,
    /// Peer address.
    pub peer: SocketAddr,
}

/// Contents of the trace buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Number of recorded transitions.
    pub entries: u64,
    /// Number of transitions that were lost, because a buffer was full.
    pub overrun: u64,
}

/// Closes that were not reported, by cause.
#[derive(Clone, Debug, Default)]
pub struct UnreportedCloses {
    /// Closes at which the kernel ran no BPF program.
    pub unobservable: Vec<EndId>,
    /// Closes that Longwave lost.
    pub lost: Vec<EndId>,
    /// Recorded transitions of these ends, for messages.
    pub evidence: String,
}

/// Maximum number of ends whose transitions are shown.
const MAX_SHOWN: usize = 20;

/// Size of all buffers together: four times the size of 200,000 opens and 200,000 closes of 80 bytes. Each CPU gets an equal share.
const BUFFERS_KB: usize = 128 << 10;

/// Minimum share of a CPU, in KiB.
const MIN_KB: usize = 8 << 10;

// === impl KernelTrace ===

impl KernelTrace {
    /// Starts to record the connections of `ports`. Empty: all.
    ///
    /// # Panics
    /// If tracefs or its event is missing.
    pub fn of(ports: &[u16]) -> Self {
        let mount = TempDir::new().unwrap();
        run(Command::new("mount").args(["-t", "tracefs", "longwave"]).arg(mount.path()));
        let instance = mount.path().join("instances").join(format!("longwave-{}", std::process::id()));
        let trace = Self { instance, mount };
        fs::create_dir(&trace.instance).unwrap();
        let ports: Vec<String> =
            ports.iter().map(|port| format!("sport == {port} || dport == {port}")).collect();
        let ports = if ports.is_empty() { String::new() } else { format!(" && ({})", ports.join(" || ")) };
        let filter = format!("(newstate == 7 || newstate == 2 || oldstate == 3){ports}");
        let cpus = fs::read_dir(trace.instance.join("per_cpu")).unwrap().count();
        trace.write("buffer_size_kb", &(BUFFERS_KB / cpus.max(1)).max(MIN_KB).to_string());
        trace.write("events/sock/inet_sock_set_state/filter", &filter);
        trace.write("events/sock/inet_sock_set_state/enable", "1");
        trace
    }

    /// Finds the causes for the closes of `unseen`, which is a subset of `all`. The process of Longwave must have ended.
    pub fn explain(&self, all: &[EndId], unseen: &[EndId]) -> UnreportedCloses {
        UnreportedCloses::of(&self.transitions(), all, unseen)
    }

    /// Returns the contents of the buffers.
    pub fn recorded(&self) -> Recorded {
        let mut recorded = Recorded::default();
        for cpu in fs::read_dir(self.instance.join("per_cpu")).unwrap() {
            let stats = fs::read_to_string(cpu.unwrap().path().join("stats")).unwrap();
            for line in stats.lines() {
                let Some((name, value)) = line.split_once(": ") else { continue };
                let value: u64 = value.trim().parse().unwrap_or(0);
                match name {
                    "entries" => recorded.entries += value,
                    "overrun" | "dropped events" => recorded.overrun += value,
                    _ => {}
                }
            }
        }
        recorded
    }

    /// Returns all recorded transitions.
    pub fn transitions(&self) -> Vec<TracedTransition> {
        let trace = fs::read_to_string(self.instance.join("trace")).unwrap();
        trace.lines().filter(|line| !line.starts_with('#')).filter_map(parse).collect()
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.instance.join(file);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {text}: {error}", path.display()));
    }
}

impl Drop for KernelTrace {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.instance);
        let _ = Command::new("umount").arg(self.mount.path()).status();
    }
}

impl UnreportedCloses {
    /// Finds the causes for the closes of `unseen`, which is a subset of `all`.
    ///
    /// A close is unobservable if the process that was current at the close is still running, is not the test, and was not current at any
    /// reported close. Nearly all closes happen while a process of the test is current, so a close that Longwave lost would usually be one
    /// of these.
    pub fn of(transitions: &[TracedTransition], all: &[EndId], unseen: &[EndId]) -> Self {
        let mut processes = HashMap::new();
        let mut process = |thread: u32| *processes.entry(thread).or_insert_with(|| user_process(thread));
        let unseen_cookies: HashSet<u64> = unseen.iter().map(|end| end.cookie).collect();
        let closes: HashMap<_, _> = transitions
            .iter()
            .filter(|seen| seen.close)
            .map(|seen| ((seen.local, seen.peer), process(seen.thread)))
            .collect();
        let current = |end: &EndId| closes.get(&(end.local, end.peer)).copied().flatten();
        let mut observable: HashSet<u32> =
            all.iter().filter(|end| !unseen_cookies.contains(&end.cookie)).filter_map(current).collect();
        observable.insert(std::process::id());
        let (unobservable, lost): (Vec<_>, Vec<_>) =
            unseen.iter().partition(|end| current(end).is_some_and(|process| !observable.contains(&process)));
        let evidence =
            lost.iter().chain(&unobservable).take(MAX_SHOWN).map(|end| describe(end, transitions)).collect();
        Self { unobservable, lost, evidence }
    }
}

/// Returns the process of a thread. `None` for kernel threads and for threads that have ended.
fn user_process(thread: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()?;
    // Kernel threads have no memory.
    status.lines().any(|line| line.starts_with("VmSize:")).then_some(process)
}

/// Lists the transitions of an end and of its peer.
fn describe(end: &EndId, transitions: &[TracedTransition]) -> String {
    let mut text = format!("{end:x?}\n");
    for seen in transitions {
        let itself = seen.local == end.local && seen.peer == end.peer;
        // The kernel chooses the source port after the change to SYN_SENT.
        let begins = end.client && seen.local.port() == 0 && seen.peer == end.peer;
        let other = seen.local == end.peer && seen.peer == end.local;
        if itself || begins || other {
            text.push_str(&format!("    {} {}\n", if other { "peer" } else { "self" }, seen.line));
        }
    }
    text
}

fn parse(line: &str) -> Option<TracedTransition> {
    let field = |name: &str| {
        let rest = &line[line.find(name)? + name.len()..];
        Some(rest.split_whitespace().next().unwrap_or_default())
    };
    // These fields also contain IPv4 addresses, as IPv4-mapped IPv6 addresses.
    let address = |ip: &str, port: &str| -> Option<SocketAddr> {
        let ip: Ipv6Addr = field(ip)?.parse().ok()?;
        Some(canonical(SocketAddr::from((ip, field(port)?.parse().ok()?))))
    };
    // The format is `<name>-<thread> [<cpu>]`, and the name may contain any character.
    let (task, _) = line.split_once(" [")?;
    Some(TracedTransition {
        line: line.trim().to_owned(),
        thread: task.trim().rsplit('-').next()?.parse().ok()?,
        close: field(" newstate=")? == "TCP_CLOSE",
        local: address(" saddrv6=", " sport=")?,
        peer: address(" daddrv6=", " dport=")?,
    })
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error} (the test needs it)"));
    assert!(status.success(), "{command:?}: {status}");
}

/// Returns whether this kernel has tracefs.
pub fn available() -> bool {
    Path::new("/sys/kernel/tracing").exists()
}

#[cfg(test)]
mod tests;
