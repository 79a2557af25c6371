//! Measures the process of Longwave.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use longwave_tests::binary;
use longwave_tests::longwave::{READY, free_address};
use longwave_tests::telemetry::Metrics;
use longwave_tests::usage;
use rustix::process::{Pid, Signal, kill_process};

/// Number of passes per measurement.
const PASSES: u64 = 6;

/// Maximum wait for a pass.
const LIMIT: Duration = Duration::from_secs(30);

/// Configuration of hosts that run `bpf`.
const DEFAULT: &str = include_str!("../../../config/examples/default.yaml");

/// Receivers that are compared.
pub const RECEIVERS: [&str; 2] = ["bpf", "sock_diag"];

/// Sockets of which `sock_diag` finds the process in one pass, at least.
const LOOKED_UP_PER_PASS: usize = 5_000;

/// A running Longwave with its default pipeline.
pub struct Agent {
    child: Child,
    telemetry: SocketAddr,
}

/// Cost of the passes of one measurement.
pub struct Cost {
    /// Number of records.
    records: u64,
    /// CPU time of the process.
    cpu: Duration,
    /// Duration of the measurement.
    elapsed: Duration,
    /// Resident memory afterwards, in MiB.
    resident: u64,
    /// Number of lost records since the start of Longwave.
    lost: u64,
}

// === impl Agent ===

impl Agent {
    /// Starts Longwave with this receiver, and waits until it has found the processes. Increases `max_connections` if the default is too
    /// small for `sockets`.
    pub fn start(receiver: &str, sockets: usize) -> Self {
        let telemetry = free_address();
        let mut command = Command::new(binary::longwave());
        command.args(["--config", &format!("yaml:{}", DEFAULT.replace("bpf", receiver))]);
        command.args(["--set", &format!("receivers.{receiver}.interval=1s")]);
        command.args(["--set", "processors.window.interval=1s"]);
        command.arg("--set").arg(format!("service.telemetry.metrics.address={telemetry}"));
        if sockets > 131_072 {
            command.arg("--set").arg(format!("receivers.{receiver}.max_connections={}", sockets + 1_000));
        }
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(READY))).unwrap().unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let agent = Self { child, telemetry };
        let look_up = if receiver == "sock_diag" { sockets / LOOKED_UP_PER_PASS } else { 0 };
        for _ in 0..3 + look_up {
            agent.await_passes(1);
        }
        agent
    }

    /// Measures some passes, and calls `busy` before each.
    pub fn measure(&self, mut busy: impl FnMut()) -> Cost {
        let page = self.page();
        let (start, cpu) = (Instant::now(), usage::cpu_time(self.child.id()));
        for _ in 0..PASSES {
            busy();
            self.await_passes(1);
        }
        let (elapsed, cpu) = (start.elapsed(), usage::cpu_time(self.child.id()) - cpu);
        let after = self.page();
        Cost {
            records: count(&after, "longwave_receiver_accepted_records")
                - count(&page, "longwave_receiver_accepted_records"),
            cpu,
            elapsed,
            resident: self.resident_mib(),
            lost: count(&after, "longwave_receiver_kernel_lost_records")
                + count(&after, "longwave_receiver_refused_records"),
        }
    }

    /// Returns the resident memory in MiB.
    pub fn resident_mib(&self) -> u64 {
        usage::memory(self.child.id(), "VmRSS").unwrap() >> 20
    }

    fn page(&self) -> Metrics {
        Metrics::scrape(self.telemetry).unwrap()
    }

    fn await_passes(&self, passes: u64) {
        let wanted = count(&self.page(), "longwave_receiver_passes") + passes;
        let start = Instant::now();
        while count(&self.page(), "longwave_receiver_passes") < wanted {
            assert!(start.elapsed() < LIMIT, "no pass came");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        let _ = self.child.wait();
    }
}

fn count(page: &Metrics, name: &str) -> u64 {
    page.sum(name, &[])
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, cpu, elapsed, resident, lost } = self;
        let per_pass = cpu.as_secs_f64() * 1e3 / PASSES as f64;
        let per_record = cpu.as_secs_f64() * 1e6 / (*records).max(1) as f64;
        let share = cpu.as_secs_f64() / elapsed.as_secs_f64() * 100.0;
        write!(f, "{per_pass:>9.1} ms {per_record:>16.3} {share:>14.1} % {resident:>8} MiB {lost:>8}")
    }
}
