//! Cost of Longwave for applications. Prints the results and asserts nothing. Run it as root with `cargo xtask bench traffic`.
//!
//! Separate runs cannot be compared, because the speed of the machines varies too much. So the load runs all the time, the subject is
//! switched on and off, and each phase with it is compared with the phases before and after. The load runs on CPU 0 (on both CPUs if the
//! row says so), and the subject on CPU 1.
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

/// Something whose cost is measured.
trait Subject {
    /// Name in the table.
    fn name(&self) -> String;
    /// Starts it for this load.
    fn on(&mut self, load: &Load);
    /// Stops it.
    fn off(&mut self);
    /// Returns the CPU time of its processes since it was started.
    fn cpu_time(&self) -> Duration {
        Duration::ZERO
    }
}

/// Many short phases, for subjects that start immediately.
const SHORT: Phases =
    Phases { length: Duration::from_millis(120), settle: Duration::from_millis(10), rounds: 60 };
/// Few long phases, for processes.
const LONG: Phases = Phases { length: Duration::from_secs(2), settle: Duration::from_millis(200), rounds: 7 };

/// CPUs of the load.
const ONE_CPU: &[usize] = &[0];
const BOTH_CPUS: &[usize] = &[0, 1];

fn main() {
    // `cargo bench` adds `--bench`. A filter may follow.
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
