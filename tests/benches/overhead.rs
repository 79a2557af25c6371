//! What Longwave costs the applications: throughput with it and without it, interleaved, medians and ratios. Prints, asserts nothing.
//!
//! `cargo build --release && cargo bench -p longwave-tests --bench overhead` as root.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::time::Instant;

use longwave_tests::churn::Churn;
use longwave_tests::longwave::{Keep, Options};
use longwave_tests::{Family, Longwave, Place, gate};
use serde_json::json;

/// Rounds of each workload, each with and without Longwave.
const ROUNDS: usize = 11;

/// A workload, and how many of its units a second it did.
type Workload = (&'static str, &'static str, fn() -> f64);

const WORKLOADS: &[Workload] = &[
    ("connect/close", "connections/s", connect_close),
    ("request/response", "requests/s", request_response),
    ("bulk", "MiB/s", bulk),
    ("1 KB writes", "writes/s", small_writes),
];

fn main() {
    // `cargo bench` passes `--bench`; a filter may follow.
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let Some(_turn) = gate::privileged("overhead") else { return };
    println!("{:<18} {:>14} {:>14} {:>7}  unit (medians of {ROUNDS})", "", "without", "with", "ratio");
    for (name, unit, workload) in WORKLOADS.iter().filter(|(name, ..)| name.contains(&filter)) {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        workload(); // warm
        for _ in 0..ROUNDS {
            without.push(workload());
            let longwave = Longwave::start_with(agent(), Options { keep: nothing(), ..Options::default() });
            workload(); // its tables grow once in a life
            with.push(workload());
            longwave.stop();
        }
        let (without, with) = (median(&mut without), median(&mut with));
        println!("{name:<18} {without:>14.0} {with:>14.0} {:>7.3}  {unit}", with / without);
    }
}

/// What a node runs: windows, and nobody who reads each record.
fn agent() -> serde_json::Value {
    json!({
        "receivers": {"bpf": {"interval": "5s"}},
        "processors": {"workload": {"sources": ["cgroup"]}, "window": {"interval": "5s"}},
        "exporters": {"stdout": {"format": "json"}},
        "service": {"pipelines": {"metrics": {"receivers": ["bpf"], "processors": ["workload", "window"], "exporters": ["stdout"]}}},
    })
}

fn nothing() -> Keep {
    |_| false
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn rate(units: u64, start: Instant) -> f64 {
    units as f64 / start.elapsed().as_secs_f64()
}

fn connect_close() -> f64 {
    const CYCLES: u32 = 60_000;
    let churn = Churn::new(1);
    let start = Instant::now();
    churn.run(CYCLES, None);
    rate(CYCLES.into(), start)
}

fn request_response() -> f64 {
    const REQUESTS: u64 = 30_000;
    let (mut client, mut server) = Place::loopback(Family::V4).pair().unwrap();
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..REQUESTS {
                server.read(100).unwrap();
                server.write(100).unwrap();
            }
        });
        for _ in 0..REQUESTS {
            client.write(100).unwrap();
            client.read(100).unwrap();
        }
    });
    rate(REQUESTS, start)
}

fn bulk() -> f64 {
    const MIB: u64 = 3_000;
    stream(MIB << 20, 1 << 20) / f64::from(1 << 20)
}

fn small_writes() -> f64 {
    stream(400 << 20, 1024) / 1024.0
}

/// Bytes a second of one stream, written in calls of `call` bytes.
fn stream(bytes: u64, call: usize) -> f64 {
    let (mut client, mut server) = Place::loopback(Family::V4).pair().unwrap();
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| client.write_in(bytes, call).unwrap());
        server.read(bytes).unwrap();
    });
    rate(bytes, start)
}
