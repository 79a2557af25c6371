//! The processor's self-telemetry, in addition to the accounting.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge};

use longwave_pipeline::component::{ComponentMeter, ProcessorContext};
use longwave_pipeline::model::Level;

/// The instruments.
pub(super) struct Telemetry {
    late: Counter<u64>,
    early: Counter<u64>,
    overflowed: Counter<u64>,
    moved: Counter<u64>,
    expired: Counter<u64>,
    series: Gauge<u64>,
    connections: Gauge<u64>,
    own: Vec<KeyValue>,
    by_level: [Vec<KeyValue>; 3],
}

/// Counts of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Records of windows that were already closed. They were added to the open window.
    pub late: u64,
    /// Records of later windows that could not wait, because there was no room. They were added to the open window.
    pub early: u64,
    /// Connections that were added to an overflow series, by level.
    pub overflowed: [u64; 3],
    /// Established connections that moved to another series, because their names or role changed.
    pub moved: u64,
    /// Connections that expired, because they had no record for a long time.
    pub expired: u64,
}

// === impl Telemetry ===

impl Telemetry {
    /// Registers the instruments.
    pub fn new(context: &ProcessorContext) -> Self {
        let meter = ComponentMeter::new(
            &context.meter,
            [("processor", &context.id), ("pipeline", &context.pipeline)],
        );
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
            overflowed: counter(
                "longwave_processor_window_folded_connections",
                "{connection}",
                "Connections whose series would exceed max_series. They were added to the level's overflow series.",
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
        };
        telemetry.begin_at_zero();
        telemetry
    }

    /// Makes every series exist before its first event.
    fn begin_at_zero(&self) {
        for counter in [&self.late, &self.early, &self.moved, &self.expired] {
            counter.add(0, &self.own);
        }
        self.by_level.iter().for_each(|attributes| self.overflowed.add(0, attributes));
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
        for (level, attributes) in self.by_level.iter().enumerate() {
            if tally.overflowed[level] > 0 {
                self.overflowed.add(tally.overflowed[level], attributes);
            }
            self.series.record(series[level], attributes);
        }
        self.connections.record(connections, &self.own);
    }
}
