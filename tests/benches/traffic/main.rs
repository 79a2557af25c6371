//! What Longwave costs the applications. Prints, asserts nothing. Run by `cargo xtask bench traffic`, as root.
//!
//! These machines are so noisy that runs apart cannot be compared: the load goes on all the time, what is measured is switched on and off
//! under it, and each phase with it is compared with its neighbours without it. The load is on CPU 0 (on both for the row that says so),
//! what is measured on CPU 1.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

mod compare;
mod hooks;
mod load;
mod process;
mod programs;

use std::time::Duration;

use compare::{Phases, compare};
use hooks::{Callbacks, Messages};
use load::{Load, Work};
use process::Process;
use programs::{Empty, Programs};

/// Something that costs the load.
trait Subject {
    /// For the table.
    fn name(&self) -> String;
    /// Switches it on, for this load.
    fn on(&mut self, load: &Load);
    /// Switches it off.
    fn off(&mut self);
    /// CPU time of its processes since it was switched on.
    fn cpu_time(&self) -> Duration {
        Duration::ZERO
    }
}

/// Switched on and off at once: many short phases.
const SHORT: Phases =
    Phases { length: Duration::from_millis(120), settle: Duration::from_millis(10), rounds: 60 };
/// Processes that start and end: few long ones.
const LONG: Phases = Phases { length: Duration::from_secs(2), settle: Duration::from_millis(200), rounds: 7 };

/// Where the load runs.
const ONE_CPU: &[usize] = &[0];
const BOTH_CPUS: &[usize] = &[0, 1];

fn main() {
    // `cargo bench` passes `--bench`; a filter may follow.
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    for work in Work::ALL {
        println!("\n{} (µs per {})", work.name(), work.unit());
        println!(
            "{:<42} {:>9} {:>9} {:>17} {:>7} {:>15} {:>9}",
            "", "without", "added", "quartiles", "ratio", "quartiles", "its CPU"
        );
        let row = |subject: &mut dyn Subject, cpus: &[usize], phases: Phases| {
            let name = format!("{}: {}", work.name(), subject.name());
            if name.contains(&filter) {
                let load = Load::start(work, cpus);
                println!("{:<42} {}", subject.name(), compare(&load, subject, phases));
            }
        };
        row(&mut Empty::new(), ONE_CPU, SHORT);
        row(&mut Programs::new(), ONE_CPU, SHORT);
        row(&mut Callbacks::new(), ONE_CPU, SHORT);
        row(&mut Messages::new(), ONE_CPU, SHORT);
        row(&mut Process::longwave("Longwave, reader on another CPU"), ONE_CPU, LONG);
        if work == Work::ConnectClose {
            row(&mut Process::longwave("Longwave, both CPUs saturated").anywhere(), BOTH_CPUS, LONG);
            row(
                &mut Process::longwave("Longwave, reader throttled to 5 % of a CPU").throttled(5),
                ONE_CPU,
                LONG,
            );
            for mut tool in Process::tools() {
                row(&mut tool, ONE_CPU, LONG);
            }
        }
    }
}
