//! [`NewConnection`]: the sums of a connection in the window in which it was opened.
//!
//! The names of a new connection often change within its first window, because metadata or the other end's records arrive later. So its
//! sums are added to a pair of series when the window or the connection ends, and all of them have the names of the last record.

use std::num::NonZeroU64;

use longwave_pipeline::model::{ConnectionRecord, Limits, Measures, OptionalCount, Totals};

use super::record_events::RecordEvents;

/// Sums of a connection that was opened in the open window and is still open.
pub(super) struct NewConnection {
    /// Index of the connection.
    pub index: u32,
    /// Minimum round trip in nanoseconds; `u64::MAX` if there is none.
    pub min_rtt: u64,
    totals: Totals,
    limits: Limits,
    connected: OptionalCount,
    /// See [`RecordEvents`].
    rtt: Option<NonZeroU64>,
    connect: Option<NonZeroU64>,
}

// === impl NewConnection ===

impl NewConnection {
    /// Creates sums without records.
    pub fn new(index: u32) -> Self {
        Self {
            index,
            min_rtt: u64::MAX,
            totals: Totals::default(),
            limits: Limits::default(),
            connected: OptionalCount::ABSENT,
            rtt: None,
            connect: None,
        }
    }

    /// Adds one record, which is not the connection's last one.
    pub fn add(&mut self, record: &ConnectionRecord, events: &RecordEvents) {
        self.totals.add(&record.delta);
        record.limits.add_delta_to(&mut self.limits);
        self.connected.add(record.elapsed);
        self.min_rtt = self.min_rtt.min(record.round_trip.minimum.map_or(u64::MAX, |nanos| nanos.get()));
        self.rtt = self.rtt.or(events.rtt);
        self.connect = self.connect.or(events.connect);
    }

    /// Adds the sums of all records, without their events.
    pub fn add_sums_to(&self, measures: &mut Measures) {
        measures.totals.add(&self.totals);
        measures.limits.add(&self.limits);
        measures.connected.add(self.connected);
    }

    /// Returns the events of all records.
    pub fn events(&self) -> RecordEvents {
        RecordEvents { opened: true, connect: self.connect, rtt: self.rtt, ..RecordEvents::default() }
    }
}
