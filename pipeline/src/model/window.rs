//! [`Window`]: the aggregate of one interval, as series.

use std::sync::Arc;

use crate::model::histogram::{CONNECTION_DURATION_BOUNDS, Histogram, ROUND_TRIP_BOUNDS};
use crate::model::level::Level;
use crate::model::record::{
    CloseReason, ConnectionRecord, FailReason, Limits, ObservedLimits, OptionalCount, Totals,
};
use crate::model::series_key::SeriesKey;
use crate::model::time::UnixNanos;

/// The aggregate of the interval `[start, end)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// First nanosecond of the interval.
    pub start: UnixNanos,
    /// First nanosecond after the interval.
    pub end: UnixNanos,
    /// The series, each at most once.
    pub series: Vec<Series>,
}

/// The measures of one series in a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Level of the series, which determines its attributes.
    pub level: Level,
    /// Key of the series. All windows of the series share the allocation, so that an exporter may use its address as a key while it keeps
    /// the `Arc`.
    pub key: Arc<SeriesKey>,
    /// Start of the series' first window.
    pub created: UnixNanos,
    /// Whether this is the series' last window.
    pub ended: bool,
    /// Sums and samples of this window.
    pub measures: Measures,
}

/// What is measured for one series in a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Measures {
    /// Sums of the records' deltas.
    pub totals: Totals,
    /// Sums of what the records report of limits.
    pub limits: Limits,
    /// Time for which the connections were observed, summed over the connections, in microseconds.
    pub connected: OptionalCount,
    /// Connections that reached ESTABLISHED in this window.
    pub opened: u64,
    /// Closed connections, by [`CloseReason`]. The index is the reason's number minus 1.
    pub closed: [u64; CloseReason::ALL.len()],
    /// Failed opens, by reason. Each reason occurs once.
    pub failed: Vec<(FailReason, u64)>,
    /// Connections open at the window's end.
    pub active: u64,
    /// Smoothed round trips in seconds: one sample for each connection in which bytes were acknowledged.
    pub rtt: Histogram,
    /// Times from SYN to ESTABLISHED in seconds.
    pub connect_duration: Histogram,
    /// Times from the open to the close in seconds, of closed connections.
    pub connection_duration: Histogram,
    /// Minimum round trip of the connections in seconds.
    pub min_rtt: Option<f64>,
}

// === impl Measures ===

impl Default for Measures {
    fn default() -> Self {
        Self {
            totals: Totals::default(),
            limits: Limits::default(),
            connected: OptionalCount::ABSENT,
            opened: 0,
            closed: [0; CloseReason::ALL.len()],
            failed: Vec::new(),
            active: 0,
            rtt: Histogram::new(ROUND_TRIP_BOUNDS),
            connect_duration: Histogram::new(ROUND_TRIP_BOUNDS),
            connection_duration: Histogram::new(CONNECTION_DURATION_BOUNDS),
            min_rtt: None,
        }
    }
}

impl Measures {
    /// Adds the deltas of a record.
    #[inline]
    pub fn add_deltas(&mut self, record: &ConnectionRecord) {
        self.totals.add(&record.delta);
        record.limits.add_delta_to(&mut self.limits);
        self.connected.add(record.elapsed);
    }

    /// Returns what limited the connections, and their time.
    pub fn observed_limits(&self) -> ObservedLimits {
        ObservedLimits { limits: self.limits, connected: self.connected }
    }

    /// Adds another series' measures of the same window, for folding and roll-ups.
    pub fn merge(&mut self, other: &Self) {
        self.totals.add(&other.totals);
        self.limits.add(&other.limits);
        self.connected.add(other.connected);
        self.opened += other.opened;
        for (mine, theirs) in self.closed.iter_mut().zip(other.closed) {
            *mine += theirs;
        }
        for (reason, count) in &other.failed {
            self.count_failed(*reason, *count);
        }
        self.active += other.active;
        self.rtt.merge(&other.rtt);
        self.connect_duration.merge(&other.connect_duration);
        self.connection_duration.merge(&other.connection_duration);
        self.offer_min_rtt(other.min_rtt);
    }

    /// Counts one closed connection.
    pub fn count_closed(&mut self, reason: CloseReason) {
        self.closed[reason as usize - 1] += 1;
    }

    /// Counts `count` failed opens.
    pub fn count_failed(&mut self, reason: FailReason, count: u64) {
        match self.failed.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, known)) => *known += count,
            None => self.failed.push((reason, count)),
        }
    }

    /// Lowers `min_rtt` to `seconds` if that is less.
    pub fn offer_min_rtt(&mut self, seconds: Option<f64>) {
        if let Some(seconds) = seconds {
            self.min_rtt = Some(self.min_rtt.map_or(seconds, |least| least.min(seconds)));
        }
    }

    /// Returns the number of closed connections.
    pub fn closed_total(&self) -> u64 {
        self.closed.iter().sum()
    }

    /// Returns the number of failed opens.
    pub fn failed_total(&self) -> u64 {
        self.failed.iter().map(|(_, count)| count).sum()
    }
}
