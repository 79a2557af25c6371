//! Costs of the programs: 8,000 sockets, first idle and then all active, and 20,000 connections that open and close, with BPF statistics
//! on. Needs root and BPF. Prints; asserts nothing.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use longwave_receivers::bpf::kernel::{Kernel, Options, ProgramStatistics};

const PAIRS: usize = 4_000;
const PASSES: usize = 20;

fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Connects to `listener`. Returns client and server.
fn connect(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

fn statistics(kernel: &Kernel, name: &str) -> ProgramStatistics {
    kernel.program_stats().into_iter().find(|program| program.name == name).unwrap()
}

/// Costs of a sampling pass.
struct PassCost {
    /// Time in the program per visited connection in the best pass, in ns.
    best: f64,
    /// The same in the median pass.
    median: f64,
    /// Wall time per connection in the best pass, in ns.
    wall: f64,
    /// Longest run of the best pass.
    longest_run_ms: f64,
}

impl std::fmt::Display for PassCost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { best, median, wall, longest_run_ms } = self;
        write!(
            f,
            "{best:.0} ns in the program (median pass {median:.0}), {wall:.0} ns of wall time per socket, "
        )?;
        write!(f, "longest run {longest_run_ms:.2} ms in the best pass")
    }
}

/// Measures passes, each after a call of `before`.
fn measure(kernel: &mut Kernel, mut before: impl FnMut()) -> PassCost {
    let (mut inside, mut wall, mut longest) = (Vec::new(), f64::MAX, f64::MAX);
    for _ in 0..PASSES {
        before();
        let start = statistics(kernel, "sample");
        let report = kernel.pass(&mut |_| {}).unwrap();
        let end = statistics(kernel, "sample");
        inside.push((end.run_time_ns - start.run_time_ns) as f64 / report.visited.max(1) as f64);
        wall = wall.min(report.duration.as_nanos() as f64 / (2 * PAIRS) as f64);
        longest = longest.min(report.longest_run.as_secs_f64() * 1e3);
    }
    inside.sort_by(f64::total_cmp);
    PassCost { best: inside[0], median: inside[PASSES / 2], wall, longest_run_ms: longest }
}

fn main() {
    let _ = rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: Some(20_000), maximum: Some(20_000) },
    );
    let options = Options { heartbeat_passes: 0, max_connections: 16_384, ..Options::default() };
    let mut kernel = Kernel::load(&options).unwrap();
    std::fs::write("/proc/sys/kernel/bpf_stats_enabled", "1").unwrap();
    let listener = listen();
    let mut ends: Vec<(TcpStream, TcpStream)> = (0..PAIRS).map(|_| connect(&listener)).collect();
    kernel.pass(&mut |_| {}).unwrap();
    let idle = measure(&mut kernel, || {});
    let active = measure(&mut kernel, || {
        for (client, server) in &mut ends {
            client.write_all(&[1]).unwrap();
            server.read_exact(&mut [0]).unwrap();
        }
    });
    drop(ends);
    kernel.drain_transitions(&mut |_| {});
    let start = ["state", "state_again"].map(|name| statistics(&kernel, name));
    let listener = listen();
    for _ in 0..20_000 {
        drop(connect(&listener));
        kernel.drain_transitions(&mut |_| {});
    }
    let end = ["state", "state_again"].map(|name| statistics(&kernel, name));
    std::fs::write("/proc/sys/kernel/bpf_stats_enabled", "0").unwrap();
    println!("sample, idle:   {idle}");
    println!("sample, active: {active}");
    for (start, end) in start.iter().zip(&end) {
        let (time, runs) = (end.run_time_ns - start.run_time_ns, end.run_cnt - start.run_cnt);
        println!("{}: {} ns a run, {} runs", end.name, time / runs.max(1), runs);
    }
    for program in kernel.program_stats() {
        println!(
            "{}: {} bytes translated, {} instructions verified",
            program.name, program.translated_bytes, program.verified_instructions
        );
    }
}
