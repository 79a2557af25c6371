//! With and without, under one load.

use std::fmt;
use std::time::{Duration, Instant};

use crate::load::Load;
use crate::subject::Subject;

/// What the load did with a subject, compared with what it did without.
pub struct Comparison {
    /// Microseconds per unit of the load without the subject.
    without: Quartiles,
    /// Microseconds per unit that the subject adds.
    added: Quartiles,
    /// Rate with the subject, as a part of the rate without.
    ratio: Quartiles,
}

/// The median and the quartiles of some values.
struct Quartiles {
    low: f64,
    median: f64,
    high: f64,
}

/// Switches the subject on and off `rounds` times, for `phase` each.
pub fn compare(load: &Load, subject: &mut dyn Subject, phase: Duration, rounds: usize) -> Comparison {
    let mut without = vec![measure(load, phase)];
    let mut with = Vec::new();
    for _ in 0..rounds {
        subject.on();
        with.push(measure(load, phase));
        subject.off();
        without.push(measure(load, phase));
    }
    let neighbours = without.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0);
    let pairs: Vec<(f64, f64)> = neighbours.zip(with).collect();
    Comparison {
        added: Quartiles::of(pairs.iter().map(|(without, with)| with - without)),
        ratio: Quartiles::of(pairs.iter().map(|(without, with)| without / with)),
        without: Quartiles::of(without),
    }
}

/// Microseconds per unit, over a phase.
fn measure(load: &Load, phase: Duration) -> f64 {
    // What is switched on and off takes effect at once; caches take a moment.
    std::thread::sleep(phase / 10);
    let (start, before) = (Instant::now(), load.done());
    std::thread::sleep(phase);
    let units = load.done() - before;
    start.elapsed().as_secs_f64() * 1e6 / units.max(1) as f64
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
        let Self { without, added, ratio } = self;
        write!(
            f,
            "{:7.2} µs + {:6.2} µs ({:.2}–{:.2})",
            without.median, added.median, added.low, added.high
        )?;
        write!(f, "  ratio {:.3} ({:.3}–{:.3})", ratio.median, ratio.low, ratio.high)
    }
}
