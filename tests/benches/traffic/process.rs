//! Subjects that are processes: Longwave and other tools.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use longwave_tests::binary;
use longwave_tests::longwave::READY;
use longwave_tests::usage;
use rustix::process::{Pid, Signal, kill_process};

use crate::Subject;
use crate::load::Load;

/// A process that is started and stopped.
pub struct Process {
    name: String,
    command: Vec<String>,
    /// Text on its stderr when it is ready. `None` if it prints none.
    ready: Option<&'static str>,
    /// Whether it may run on CPU 1 only.
    bound: bool,
    /// Whether it runs in the network namespace of the load, because it can observe only its own.
    in_namespace: bool,
    /// Limit of its CPU time in percent of a CPU.
    quota: Option<u32>,
    child: Option<Child>,
}

/// Maximum wait for the end of a process.
const LIMIT: Duration = Duration::from_secs(10);

/// Mounts tracefs, because it may not be mounted, and runs bpftrace. The command has its own mount namespace.
const BPFTRACE: &str = "mount -t debugfs none /sys/kernel/debug; mount -t tracefs none /sys/kernel/debug/tracing; \
    exec bpftrace -e \"$0\"";

/// Prints the lifetimes of connections, as bpftrace's `tcplife` does. Uses a tracepoint, because some kernels have no kprobes.
const TCPLIFE: &str = "tracepoint:sock:inet_sock_set_state / args->protocol == 6 / { \
    if (args->newstate == 1) { @birth[args->skaddr] = nsecs; } \
    if (args->newstate == 7 && @birth[args->skaddr]) { \
        printf(\"%d %d %d %llu\\n\", pid, args->sport, args->dport, nsecs - @birth[args->skaddr]); \
        delete(@birth[args->skaddr]); } }";

/// Cgroup of version 1 that limits CPU time.
const CPU_CGROUP: &str = "/sys/fs/cgroup/cpu/longwave-bench";

// === impl Process ===

impl Process {
    /// Returns Longwave with its default pipeline.
    pub fn longwave(name: &str) -> Self {
        let command = vec![binary::longwave().display().to_string()];
        Self::new(name, command, Some(READY))
    }

    /// Returns the other tools that report connections and are installed.
    pub fn tools() -> Vec<Self> {
        let tool = |name: &str, program: &str, command: &[&str]| {
            let installed = Command::new("which").arg(program).stdout(Stdio::null()).status();
            let command = command.iter().map(|word| (*word).to_owned()).collect();
            let tool = || Self { in_namespace: true, ..Self::new(name, command, None) };
            installed.is_ok_and(|status| status.success()).then(tool)
        };
        [
            tool(
                "bpftrace, lifetimes at the tracepoint",
                "bpftrace",
                &["unshare", "--mount", "sh", "-c", BPFTRACE, TCPLIFE],
            ),
            tool(
                "pmacctd on lo",
                "pmacctd",
                &["pmacctd", "-i", "lo", "-c", "src_host,dst_host,src_port,dst_port", "-P", "print"],
            ),
            tool("ss -tin every 5 s", "ss", &["sh", "-c", "while :; do ss -tin; sleep 5; done"]),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn new(name: &str, command: Vec<String>, ready: Option<&'static str>) -> Self {
        Self {
            name: name.to_owned(),
            command,
            ready,
            bound: true,
            in_namespace: false,
            quota: None,
            child: None,
        }
    }

    /// Lets it run on any CPU.
    pub fn anywhere(mut self) -> Self {
        self.bound = false;
        self
    }

    /// Limits its CPU time after it has become ready.
    pub fn throttled(mut self, percent: u32) -> Self {
        self.quota = Some(percent);
        self
    }

    fn throttle(&self, percent: u32) {
        const PERIOD_US: u32 = 100_000;
        fs::create_dir_all(CPU_CGROUP).unwrap();
        let set = |file: &str, value: String| fs::write(format!("{CPU_CGROUP}/{file}"), value).unwrap();
        set("cpu.cfs_period_us", PERIOD_US.to_string());
        set("cpu.cfs_quota_us", (PERIOD_US / 100 * percent).to_string());
        let pid = self.child.as_ref().map_or(0, Child::id);
        set("cgroup.procs", pid.to_string());
    }
}

impl Subject for Process {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn on(&mut self, load: &Load) {
        let mut words: Vec<&str> = Vec::new();
        if self.in_namespace {
            words.extend(["ip", "netns", "exec", load.namespace().name()]);
        }
        if self.bound {
            words.extend(["taskset", "--cpu-list", "1"]);
        }
        words.extend(self.command.iter().map(String::as_str));
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        if let Some(ready) = self.ready {
            lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(ready))).unwrap().unwrap();
        } else {
            // These tools do not report when they are ready.
            std::thread::sleep(Duration::from_millis(1500));
            if let Some(status) = child.try_wait().unwrap() {
                let words: Vec<String> = lines.map_while(Result::ok).collect();
                panic!("{} ended: {status}: {}", self.name, words.join("; "));
            }
        }
        std::thread::spawn(move || lines.for_each(drop));
        self.child = Some(child);
        if let Some(percent) = self.quota {
            self.throttle(percent);
        }
    }

    fn off(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if self.quota.is_some() {
            // With the limit, the stop would take long.
            fs::write(format!("{CPU_CGROUP}/cpu.cfs_quota_us"), "-1").unwrap();
        }
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if start.elapsed() > LIMIT {
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        if self.quota.is_some() {
            fs::remove_dir(CPU_CGROUP).unwrap();
        }
    }

    fn cpu_time(&self) -> Duration {
        self.child.as_ref().map_or(Duration::ZERO, |child| usage::cpu_time(child.id()))
    }
}
