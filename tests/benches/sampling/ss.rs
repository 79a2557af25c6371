//! Measures `ss -tin`, which lists the same sockets once.

use std::fmt;
use std::process::{Command, Stdio};
use std::time::Duration;

use longwave_tests::usage;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Number of runs.
const RUNS: usize = 5;

/// Time between two looks at the memory.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// Cost of a run.
pub struct Cost {
    /// Median of the CPU times.
    cpu: Duration,
    /// Largest resident memory that was seen, in MiB.
    resident: u64,
}

/// Measures some runs. `None` if there is no `ss`.
pub fn measure() -> Option<Cost> {
    let mut runs = (0..RUNS).map(|_| run()).collect::<Option<Vec<Cost>>>()?;
    runs.sort_by_key(|run| run.cpu);
    let resident = runs.iter().map(|run| run.resident).max()?;
    Some(Cost { cpu: runs[RUNS / 2].cpu, resident })
}

fn run() -> Option<Cost> {
    let mut child = Command::new("ss").arg("-tin").stdout(Stdio::null()).spawn().ok()?;
    let ended = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
    let mut resident = 0;
    while poll(&mut [PollFd::new(&ended, PollFlags::IN)], Some(&LOOK)).unwrap() == 0 {
        resident = resident.max(usage::memory(child.id(), "VmRSS").unwrap_or(0) >> 20);
    }
    // Its accounting exists until it is waited for.
    let cpu = usage::cpu_time(child.id());
    child.wait().unwrap();
    Some(Cost { cpu, resident })
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, resident } = self;
        let cpu = cpu.as_secs_f64() * 1e3;
        write!(f, "{cpu:>9.1} ms {:>16} {:>16} {resident:>8} MiB", "-", "-")
    }
}
