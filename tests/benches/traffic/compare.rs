//! Compares the same load with and without a subject.

use std::fmt;
use std::time::{Duration, Instant};

use crate::Subject;
use crate::load::Load;

/// Number and durations of the phases.
#[derive(Clone, Copy)]
pub struct Phases {
    /// Duration of a phase.
    pub length: Duration,
    /// Wait before a phase, so that caches are warm and processes are idle.
    pub settle: Duration,
    /// Number of phases with the subject.
    pub rounds: usize,
}

/// The load with a subject, compared with the load without it.
pub struct Comparison {
    /// Microseconds per unit of the load without the subject.
    without: Quartiles,
    /// Microseconds per unit that the subject adds.
    added: Quartiles,
    /// Ratio of the rates with and without the subject.
    ratio: Quartiles,
    /// Microseconds of CPU time that the subject's processes use per unit.
    cpu: Quartiles,
}

/// Microseconds per unit in one phase.
#[derive(Clone, Copy)]
struct Phase {
    time: f64,
    cpu: f64,
}

/// Median and quartiles.
struct Quartiles {
    low: f64,
    median: f64,
    high: f64,
}

/// Runs the phases, with the subject on and off in turn.
pub fn compare(load: &Load, subject: &mut dyn Subject, phases: Phases) -> Comparison {
    let mut without = vec![measure(load, subject, phases)];
    let mut with = Vec::new();
    for _ in 0..phases.rounds {
        subject.on(load);
        load.renew();
        with.push(measure(load, subject, phases));
        subject.off();
        load.renew();
        without.push(measure(load, subject, phases));
    }
    let neighbours = without.windows(2).map(|pair| (pair[0].time + pair[1].time) / 2.0);
    let pairs: Vec<(f64, f64)> = neighbours.zip(with.iter().map(|phase| phase.time)).collect();
    Comparison {
        added: Quartiles::of(pairs.iter().map(|(without, with)| with - without)),
        ratio: Quartiles::of(pairs.iter().map(|(without, with)| without / with)),
        without: Quartiles::of(without.iter().map(|phase| phase.time)),
        cpu: Quartiles::of(with.iter().map(|phase| phase.cpu)),
    }
}

fn measure(load: &Load, subject: &dyn Subject, phases: Phases) -> Phase {
    std::thread::sleep(phases.settle);
    let (start, before, cpu) = (Instant::now(), load.done(), subject.cpu_time());
    std::thread::sleep(phases.length);
    let units = (load.done() - before).max(1) as f64;
    let (elapsed, cpu) = (start.elapsed(), subject.cpu_time().saturating_sub(cpu));
    Phase {
        time: elapsed.as_secs_f64() * 1e6 * load.threads() as f64 / units,
        cpu: cpu.as_secs_f64() * 1e6 / units,
    }
}

// === impl Quartiles ===

impl Quartiles {
    fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |part: usize| values[(values.len() - 1) * part / 4];
        Self { low: at(1), median: at(2), high: at(3) }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { without, added, ratio, cpu } = self;
        let spread = |of: &Quartiles, digits: usize| format!("{:.digits$} to {:.digits$}", of.low, of.high);
        write!(f, "{:>9.2} {:>9.2} {:>17}", without.median, added.median, spread(added, 2))?;
        write!(f, " {:>7.3} {:>15}", ratio.median, spread(ratio, 3))?;
        if cpu.median > 0.0 { write!(f, " {:>9.2}", cpu.median) } else { write!(f, " {:>9}", "-") }
    }
}
