//! Counters and gauges of one connection.

use std::num::NonZeroU64;

/// Cumulative counts of a connection, or the differences between two of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Payload bytes sent, without retransmissions.
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
    /// Segments that the kernel marked as lost.
    pub lost: u64,
}

// === impl Totals ===

impl Totals {
    /// Returns the sum of sent and received bytes. Saturates.
    pub fn traffic_bytes(&self) -> u64 {
        self.sent_bytes.saturating_add(self.received_bytes)
    }
}

/// Round-trip times in nanoseconds. Each is `None` until the kernel has a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoundTrip {
    /// Smoothed round-trip time (`srtt`).
    pub smoothed: Option<NonZeroU64>,
    /// Mean deviation of the round-trip time (`rttvar`).
    pub variance: Option<NonZeroU64>,
    /// Minimum round-trip time since the open.
    pub minimum: Option<NonZeroU64>,
    /// Round-trip time as the receiver of data estimates it (`tcpi_rcv_rtt`).
    pub receiver: Option<NonZeroU64>,
}

/// Values at the time of the observation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Bytes written by the application and not sent.
    pub unsent_bytes: u64,
    /// Bytes received and not read by the application.
    pub unread_bytes: u64,
    /// Bytes sent and not acknowledged.
    pub in_flight_bytes: u64,
    /// Delivery rate in bytes per second; 0 without a sample.
    pub delivery_rate: u64,
    /// Congestion window in segments.
    pub cwnd: u32,
    /// Maximum segment size in bytes.
    pub mss: u32,
}

// === impl Totals ===

impl Totals {
    /// Adds each field of `other`. Saturates.
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

/// Returns the share of the sent segments with data that `count` of them are, at most 1. `None` if there are none.
pub fn share_of_data(count: u64, data_segments: u64) -> Option<f64> {
    // A SYN and a FIN have no data, but are sent again, too.
    let all = data_segments.max(count);
    (all > 0).then(|| count as f64 / all as f64)
}

/// Returns whether at least one percent of the sent segments with data was sent again.
pub fn is_lossy(retransmits: u64, data_segments: u64) -> bool {
    retransmits > 0 && retransmits.saturating_mul(100) >= data_segments
}

#[cfg(test)]
mod tests;
