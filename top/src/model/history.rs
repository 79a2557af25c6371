//! [`History`]: the last intervals of a row, for charts.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;

use super::measures::Measures;

/// Intervals that a history has at most.
pub const HISTORY: usize = 60;

/// One interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Payload bytes of both directions per second.
    pub bytes_per_second: f32,
    /// Smoothed round trip of the slowest connection in seconds. `None` if it was unknown.
    pub rtt: Option<f32>,
}

/// The last [`HISTORY`] intervals, the oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History(VecDeque<Point>);

// === impl History ===

impl History {
    pub(super) fn push(&mut self, measures: &Measures, interval: Duration) {
        if self.0.len() == HISTORY {
            self.0.pop_front();
        }
        let seconds = interval.as_secs_f64();
        let rate = if seconds > 0.0 { measures.bytes() as f64 / seconds } else { 0.0 };
        let rtt = measures.rtt.map(|nanos: NonZeroU64| (nanos.get() as f64 / 1e9) as f32);
        self.0.push_back(Point { bytes_per_second: rate as f32, rtt });
    }

    /// Adds the intervals of another row, which end at the same time.
    pub(super) fn add(&mut self, other: &Self) {
        while self.0.len() < other.0.len() {
            self.0.push_front(Point::default());
        }
        let first = self.0.len() - other.0.len();
        for (point, more) in self.0.iter_mut().skip(first).zip(&other.0) {
            point.bytes_per_second += more.bytes_per_second;
            point.rtt = match (point.rtt, more.rtt) {
                (Some(one), Some(other)) => Some(one.max(other)),
                (one, other) => one.or(other),
            };
        }
    }

    /// Returns whether no interval has ended yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the points of the last `count` intervals, the oldest first.
    pub fn last(&self, count: usize) -> impl Iterator<Item = &Point> {
        self.0.iter().skip(self.0.len().saturating_sub(count))
    }
}
