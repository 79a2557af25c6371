//! Measures the duration of passes: in total, and the part in the kernel.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use longwave_receivers::bpf::kernel::{Kernel, Options};

/// Number of passes per measurement.
const PASSES: usize = 15;

/// The kernel side, without the receiver.
pub struct Passes {
    kernel: Kernel,
    _statistics: Statistics,
}

/// Medians over the passes of one measurement.
pub struct Cost {
    /// Run time of `sample` per socket, in ns.
    kernel_ns: f64,
    /// Duration of a pass per socket, in ns.
    wall_ns: f64,
    /// Longest run of `sample` in a pass.
    longest: Duration,
    /// Number of samples in the last pass.
    events: usize,
    /// Number of sockets that the last pass visited.
    visited: u64,
}

/// Makes the kernel measure its BPF programs until dropped. This costs about 20 ns per run.
struct Statistics;

const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

// === impl Passes ===

impl Passes {
    /// Loads the programs and seeds the open connections.
    pub fn over(sockets: usize) -> Self {
        let max_connections = u32::try_from(sockets).unwrap() + 1_000;
        let options = Options { heartbeat_passes: 0, max_connections, ..Options::default() };
        let mut kernel = Kernel::load(&options).unwrap();
        kernel.seed();
        // The first pass emits a sample of every connection.
        kernel.pass(&mut |_| {}).unwrap();
        Self { kernel, _statistics: Statistics::new() }
    }

    /// Measures passes, and calls `before` before each.
    pub fn measure(&mut self, mut before: impl FnMut()) -> Cost {
        let (mut inside, mut wall, mut longest) = (Vec::new(), Vec::new(), Vec::new());
        let (mut events, mut visited) = (0, 0);
        for _ in 0..PASSES {
            before();
            let start = self.run_time();
            let report = self.kernel.pass(&mut |_| {}).unwrap();
            let sockets = report.visited.max(1) as f64;
            inside.push((self.run_time() - start) as f64 / sockets);
            wall.push(report.duration.as_nanos() as f64 / sockets);
            longest.push(report.longest_run);
            (events, visited) = (report.events, report.visited);
        }
        longest.sort();
        Cost {
            kernel_ns: median(inside),
            wall_ns: median(wall),
            longest: longest[PASSES / 2],
            events,
            visited,
        }
    }

    /// Measures walks of the descriptors of all processes. Returns the median.
    pub fn measure_walks(&mut self) -> Duration {
        let mut durations: Vec<Duration> = (0..PASSES)
            .map(|_| {
                let began = Instant::now();
                self.kernel.look_up_holders(&mut |_| {}).unwrap();
                began.elapsed()
            })
            .collect();
        durations.sort();
        durations[PASSES / 2]
    }

    fn run_time(&self) -> u64 {
        let programs = self.kernel.program_stats();
        programs.iter().find(|program| program.name == "sample").unwrap().run_time_ns
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel_ns, wall_ns, longest, events, visited } = self;
        let longest = longest.as_secs_f64() * 1e3;
        write!(f, "{kernel_ns:>18.0} {wall_ns:>18.0} {longest:>11.2} ms {events:>10} of {visited}")
    }
}

// === impl Statistics ===

impl Statistics {
    fn new() -> Self {
        fs::write(STATISTICS, "1").unwrap();
        Self
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        let _ = fs::write(STATISTICS, "0");
    }
}
