//! The processor's self-telemetry, in addition to the accounting.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge};

use longwave_pipeline::component::ProcessorContext;
use longwave_pipeline::model::{Level, Rung};

/// The instruments.
pub(super) struct Telemetry {
    late: Counter<u64>,
    early: Counter<u64>,
    folded: Counter<u64>,
    moved: Counter<u64>,
    expired: Counter<u64>,
    series: Gauge<u64>,
    connections: Gauge<u64>,
    own: Vec<KeyValue>,
    by_level: [Vec<KeyValue>; 3],
    by_level_and_rung: [[Vec<KeyValue>; Rung::ALL.len()]; 3],
}

/// Counts of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Records of windows that were already closed. They were added to the open window.
    pub late: u64,
    /// Records of later windows that could not wait, because there was no room. They were added to the open window.
    pub early: u64,
    /// Connections that were added to a series into which others are folded, by level and rung.
    pub folded: [[u64; Rung::ALL.len()]; 3],
    /// Established connections that moved to another series, because their names or role changed.
    pub moved: u64,
    /// Connections that expired, because they had no record for a long time.
    pub expired: u64,
}

// === impl Tally ===

impl Tally {
    /// Counts a connection that was added to a series of this rung; `None`: of no rung.
    pub fn count_folded(&mut self, level: Level, rung: Option<Rung>) {
        if let Some(rung) = rung {
            self.folded[level as usize][rung as usize] += 1;
        }
    }
}

// === impl Telemetry ===

impl Telemetry {
    /// Registers the instruments.
    pub fn new(context: &ProcessorContext) -> Self {
        let meter = context.component_meter();
        let counter = |name, unit, text| meter.counter(name, unit, text);
        let telemetry = Self {
            late: counter(
                "longwave_processor_window_late_records",
                "{record}",
                "Records of windows that were already closed. They were added to the open window.",
            ),
            early: counter(
                "longwave_processor_window_early_records",
                "{record}",
                "Records of later windows that could not be held until their window opened. They were added to the open window.",
            ),
            folded: counter(
                "longwave_processor_window_folded_connections",
                "{connection}",
                "Connections whose series would exceed max_series. They were added to a coarser series of this rung.",
            ),
            moved: counter(
                "longwave_processor_window_moved_connections",
                "{connection}",
                "Open connections that moved to another series, because their names or role changed.",
            ),
            expired: counter(
                "longwave_processor_window_expired_connections",
                "{connection}",
                "Connections counted as closed (vanished) because they had no record for a long time.",
            ),
            series: meter.gauge(
                "longwave_processor_window_series",
                "{series}",
                "Series in the last window, by level.",
            ),
            connections: meter.gauge(
                "longwave_processor_window_connections",
                "{connection}",
                "Connections known when the last window closed.",
            ),
            own: meter.attributes().to_vec(),
            by_level: Level::ALL.map(|level| meter.attributes_with("level", level.as_str())),
            by_level_and_rung: Level::ALL.map(|level| {
                Rung::ALL.map(|rung| {
                    let mut attributes = meter.attributes_with("level", level.as_str());
                    attributes.push(KeyValue::new("rung", rung.as_str()));
                    attributes
                })
            }),
        };
        telemetry.begin_at_zero();
        telemetry
    }

    /// Makes every series exist before its first event.
    fn begin_at_zero(&self) {
        for counter in [&self.late, &self.early, &self.moved, &self.expired] {
            counter.add(0, &self.own);
        }
        self.by_level_and_rung.iter().flatten().for_each(|attributes| self.folded.add(0, attributes));
        self.record_window(&Tally::default(), [0; 3], 0);
    }

    /// Records the counts of a window that was closed.
    pub fn record_window(&self, tally: &Tally, series: [u64; 3], connections: u64) {
        for (counter, count) in [
            (&self.late, tally.late),
            (&self.early, tally.early),
            (&self.moved, tally.moved),
            (&self.expired, tally.expired),
        ] {
            if count > 0 {
                counter.add(count, &self.own);
            }
        }
        let folded = tally.folded.iter().flatten().zip(self.by_level_and_rung.iter().flatten());
        for (count, attributes) in folded.filter(|(count, _)| **count > 0) {
            self.folded.add(*count, attributes);
        }
        for (count, attributes) in series.into_iter().zip(&self.by_level) {
            self.series.record(count, attributes);
        }
        self.connections.record(connections, &self.own);
    }
}
