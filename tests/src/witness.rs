//! A witness of what the kernel's own tracing delivers: the trace event `sock:inet_sock_set_state`, which no BPF program serves, recorded
//! in a trace instance of its own.
//!
//! Some kernels run no BPF tracing program at all while certain processes are current (on the development machines: a thread of pid 1; an
//! empty program on this tracepoint is run exactly as many times as there are events, less those with pid 1 current). A softirq that
//! lands there closes a connection that no agent built on BPF can see. The witness tells these closes from those that Longwave lost.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::end::{EndId, canonical};

/// Records opens and closes of connections, in every network namespace, until dropped.
pub struct Witness {
    instance: PathBuf,
    mount: TempDir,
}

/// One transition, as the kernel's trace tells it.
#[derive(Clone, Debug)]
pub struct Witnessed {
    /// The line as it is: the task that was current, the CPU, the context, the time.
    pub line: String,
    /// The thread that was current.
    pub thread: u32,
    /// Whether it is a close.
    pub close: bool,
    /// The socket's own address.
    pub local: SocketAddr,
    /// Its peer's.
    pub peer: SocketAddr,
}

/// What the trace's buffers hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Transitions that were recorded.
    pub entries: u64,
    /// Transitions that found no room.
    pub overrun: u64,
}

/// What the witness says of closes that were not reported.
#[derive(Clone, Debug, Default)]
pub struct Testimony {
    /// Those that happened where no BPF program runs.
    pub unobservable: Vec<EndId>,
    /// The others: lost by Longwave.
    pub lost: Vec<EndId>,
    /// All that was recorded of each, for messages.
    pub evidence: String,
}

/// Ends of which evidence is shown.
const MAX_SHOWN: usize = 20;

/// Room in all for 200,000 opens and as many closes, of 80 bytes each, four times over; each CPU has its share.
const BUFFERS_KB: usize = 128 << 10;

/// A CPU's share is not less than this.
const LEAST_KB: usize = 8 << 10;

// === impl Witness ===

impl Witness {
    /// Begins to record the connections of `ports`, or of all where there are none.
    ///
    /// # Panics
    /// Where tracefs or its event is missing.
    pub fn of(ports: &[u16]) -> Self {
        let mount = TempDir::new().unwrap();
        run(Command::new("mount").args(["-t", "tracefs", "longwave"]).arg(mount.path()));
        let instance = mount.path().join("instances").join(format!("longwave-{}", std::process::id()));
        let witness = Self { instance, mount };
        fs::create_dir(&witness.instance).unwrap();
        let ports: Vec<String> =
            ports.iter().map(|port| format!("sport == {port} || dport == {port}")).collect();
        let ports = if ports.is_empty() { String::new() } else { format!(" && ({})", ports.join(" || ")) };
        let filter = format!("(newstate == 7 || newstate == 2 || oldstate == 3){ports}");
        let cpus = fs::read_dir(witness.instance.join("per_cpu")).unwrap().count();
        witness.write("buffer_size_kb", &(BUFFERS_KB / cpus.max(1)).max(LEAST_KB).to_string());
        witness.write("events/sock/inet_sock_set_state/filter", &filter);
        witness.write("events/sock/inet_sock_set_state/enable", "1");
        witness
    }

    /// Judges the closes of `unseen` ends, of `all` that there were, after Longwave's process has ended.
    pub fn judge(&self, all: &[EndId], unseen: &[EndId]) -> Testimony {
        Testimony::of(&self.transitions(), all, unseen)
    }

    /// How much was recorded so far.
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

    /// All that was recorded.
    pub fn transitions(&self) -> Vec<Witnessed> {
        let trace = fs::read_to_string(self.instance.join("trace")).unwrap();
        trace.lines().filter(|line| !line.starts_with('#')).filter_map(witnessed).collect()
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.instance.join(file);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {text}: {error}", path.display()));
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.instance);
        let _ = Command::new("umount").arg(self.mount.path()).status();
    }
}

impl Testimony {
    /// Judges by `transitions` the closes of `unseen` ends, of `all` that there were. A close is unobservable if the process that was
    /// current then is neither the test nor the kernel's nor one that has ended (as Longwave has), and not one close that happened while it
    /// was current was reported. A loss of Longwave's would fall on the processes that make the connections, under which nearly all closes happen.
    pub fn of(transitions: &[Witnessed], all: &[EndId], unseen: &[EndId]) -> Self {
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
            lost.iter().chain(&unobservable).take(MAX_SHOWN).map(|end| tell(end, transitions)).collect();
        Self { unobservable, lost, evidence }
    }
}

/// The user-space process of a thread that still runs.
fn user_process(thread: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()?;
    // Kernel threads have no memory of their own.
    status.lines().any(|line| line.starts_with("VmSize:")).then_some(process)
}

fn tell(end: &EndId, transitions: &[Witnessed]) -> String {
    let mut text = format!("{end:x?}\n");
    for seen in transitions {
        let itself = seen.local == end.local && seen.peer == end.peer;
        // At SYN_SENT the source port was not chosen yet.
        let begins = end.client && seen.local.port() == 0 && seen.peer == end.peer;
        let other = seen.local == end.peer && seen.peer == end.local;
        if itself || begins || other {
            text.push_str(&format!("    {} {}\n", if other { "peer" } else { "self" }, seen.line));
        }
    }
    text
}

fn witnessed(line: &str) -> Option<Witnessed> {
    let field = |name: &str| {
        let rest = &line[line.find(name)? + name.len()..];
        Some(rest.split_whitespace().next().unwrap_or_default())
    };
    // These hold IPv4 addresses too, mapped.
    let address = |ip: &str, port: &str| -> Option<SocketAddr> {
        let ip: Ipv6Addr = field(ip)?.parse().ok()?;
        Some(canonical(SocketAddr::from((ip, field(port)?.parse().ok()?))))
    };
    // `<name>-<thread> [<cpu>]`; the name may hold anything.
    let (task, _) = line.split_once(" [")?;
    Some(Witnessed {
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

/// Whether this kernel has tracefs.
pub fn available() -> bool {
    Path::new("/sys/kernel/tracing").exists()
}

#[cfg(test)]
#[path = "witness_tests.rs"]
mod tests;
