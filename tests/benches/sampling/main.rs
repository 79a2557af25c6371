//! Cost of a sampling pass in the kernel, in user space, and in memory, with the receivers `bpf` and `sock_diag`, and of `ss -tin`. Prints
//! the results and asserts nothing. Run it as root with `cargo xtask bench sampling`. An argument is a number of sockets, instead of all.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

mod agent;
mod holder;
mod kernel;
mod ss;

use agent::{Agent, RECEIVERS};
use holder::Holders;

/// Numbers of open sockets. Each connection has two.
const SOCKETS: [usize; 3] = [10_000, 100_000, 300_000];

/// Share of connections that are busy between two passes.
const BUSY: [(&str, usize); 3] = [("idle", 0), ("10 % busy", 10), ("all busy", 100)];

fn main() {
    if holder::is_holder() {
        return holder::hold();
    }
    let mut counts: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    if counts.is_empty() {
        counts = SOCKETS.to_vec();
    }
    let mut holders = Holders::default();
    println!("Kernel: passes over the connection table, with a reader that only counts.");
    println!(
        "{:>8} {:<10} {:>18} {:>18} {:>14} {:>10}",
        "sockets", "", "kernel ns/socket", "wall ns/socket", "longest run", "events"
    );
    for &sockets in &counts {
        holders.grow_to(sockets);
        let mut kernel = kernel::Passes::over(sockets);
        for (name, percent) in BUSY {
            println!("{sockets:>8} {name:<10} {}", kernel.measure(|| holders.make_busy(percent)));
        }
        let walk = kernel.measure_walks();
        let each = walk.as_nanos() as f64 / sockets as f64;
        println!(
            "{sockets:>8} {:<10} {:>18} {each:>18.0} {:>11.2} ms",
            "walk",
            "-",
            walk.as_secs_f64() * 1e3
        );
    }
    drop(holders);

    let mut holders = Holders::default();
    println!("\nLongwave with its default pipeline, a pass every second. A pass of `ss` is one run.");
    println!(
        "{:>8} {:<10} {:<10} {:>12} {:>16} {:>16} {:>12} {:>8}",
        "sockets", "", "", "CPU/pass", "CPU µs/record", "CPU of one core", "resident", "lost"
    );
    for receiver in RECEIVERS {
        let at_rest = Agent::start(receiver, 0).resident_mib();
        println!(
            "{:>8} {receiver:<10} {:<10} {:>12} {:>16} {:>16} {at_rest:>8} MiB",
            0, "at rest", "-", "-", "-"
        );
    }
    for sockets in counts {
        holders.grow_to(sockets);
        for receiver in RECEIVERS {
            let agent = Agent::start(receiver, sockets);
            for (name, percent) in BUSY {
                let cost = agent.measure(|| holders.make_busy(percent));
                println!("{sockets:>8} {receiver:<10} {name:<10} {cost}");
            }
        }
        if let Some(cost) = ss::measure() {
            println!("{sockets:>8} {:<10} {:<10} {cost}", "ss -tin", "idle");
        }
    }
}
