//! [`YoungSums`]: the sums of a connection that is too young for a series of level `connection`.

use longwave_pipeline::model::{ConnectionRecord, Limits, Measures, OptionalCount, Totals, seconds};

use super::record_events::RecordEvents;

/// Sums of a connection before `min_age`. There is one round-trip sample (8 bytes) per window with acknowledged bytes, so there are at most
/// `min_age` ÷ `interval` samples.
#[derive(Default)]
pub(super) struct YoungSums {
    totals: Totals,
    limits: Limits,
    connected: OptionalCount,
    opened: u64,
    connect: Option<f64>,
    rtt_seconds: Vec<f64>,
}

// === impl YoungSums ===

impl YoungSums {
    pub fn add(&mut self, record: &ConnectionRecord, events: &RecordEvents) {
        self.totals.add(&record.delta);
        record.limits.add_delta_to(&mut self.limits);
        self.connected.add(record.elapsed);
        self.opened += u64::from(events.opened);
        if let Some(connect) = events.connect {
            self.connect = Some(seconds(connect));
        }
        self.rtt_seconds.extend(events.rtt.map(seconds));
    }

    pub fn into_measures(self) -> Measures {
        let mut measures = Measures {
            totals: self.totals,
            limits: self.limits,
            connected: self.connected,
            opened: self.opened,
            ..Measures::default()
        };
        if let Some(connect) = self.connect {
            measures.connect_duration.record(connect);
        }
        for rtt in self.rtt_seconds {
            measures.rtt.record(rtt);
        }
        measures
    }
}
