//! What is counted and measured.

use std::num::NonZeroU64;

/// Cumulative counts, or differences of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Unique payload bytes put on the wire.
    pub sent_bytes: u64,
    /// Payload bytes received in order.
    pub received_bytes: u64,
    /// Segments sent, with or without data.
    pub sent_segments: u64,
    /// Segments received, with or without data.
    pub received_segments: u64,
    /// Segments with data sent.
    pub data_segments: u64,
    /// Segments retransmitted.
    pub retransmits: u64,
    /// Segments that the stack took for lost.
    pub lost: u64,
}

/// Round-trip times in nanoseconds; absent until there is a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoundTrip {
    /// Smoothed round trip.
    pub smoothed: Option<NonZeroU64>,
    /// Mean deviation.
    pub variance: Option<NonZeroU64>,
    /// Minimum over the connection's life.
    pub minimum: Option<NonZeroU64>,
}

/// Values of the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Bytes written by the application and not sent.
    pub unsent_bytes: u64,
    /// Bytes received and not read by the application.
    pub unread_bytes: u64,
    /// Bytes sent and not acknowledged.
    pub in_flight_bytes: u64,
    /// Delivery rate, bytes per second; 0: no sample.
    pub delivery_rate: u64,
    /// Congestion window, segments.
    pub cwnd: u32,
    /// Maximum segment size, bytes.
    pub mss: u32,
}

// === impl Totals ===

impl Totals {
    /// Field by field; saturates.
    #[inline]
    pub fn add(&mut self, other: &Self) {
        self.sent_bytes = self.sent_bytes.saturating_add(other.sent_bytes);
        self.received_bytes = self.received_bytes.saturating_add(other.received_bytes);
        self.sent_segments = self.sent_segments.saturating_add(other.sent_segments);
        self.received_segments = self.received_segments.saturating_add(other.received_segments);
        self.data_segments = self.data_segments.saturating_add(other.data_segments);
        self.retransmits = self.retransmits.saturating_add(other.retransmits);
        self.lost = self.lost.saturating_add(other.lost);
    }
}
