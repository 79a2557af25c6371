//! [`Measures`]: what a row counts, and [`Split`]: the same by the reporting end.

use std::num::NonZeroU64;

use longwave_pipeline::model::{ConnectionRecord, ObservedLimits, Totals, is_lossy, share_of_data};

use super::flow::Side;

/// Counts of an interval or of a longer time, and gauges at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// Payload bytes from client to server.
    pub towards: u64,
    /// Payload bytes from server to client.
    pub back: u64,
    /// Segments with data that the reporting ends sent.
    pub data_segments: u64,
    /// Segments that the reporting ends sent again.
    pub retransmits: u64,
    /// Segments that the kernel marked as lost.
    pub lost: u64,
    /// What limited the connections.
    pub limits: ObservedLimits,
    /// Connections that were established.
    pub opened: u64,
    /// Established connections that were closed.
    pub closed: u64,
    /// Connections that were never established.
    pub failed: u64,
    /// Open connections at the end.
    pub open: u64,
    /// Smoothed round trip of the slowest open connection at the end, in nanoseconds.
    pub rtt: Option<NonZeroU64>,
    /// Minimum round trip of all connections, in nanoseconds.
    pub min_rtt: Option<NonZeroU64>,
}

/// What the two ends of a flow report. The counts of all records are the sum of `client` and `server`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Each flow once: bytes and connections as the client reports them, or the server if the client is on another host; segments,
    /// retransmits and losses of both ends; limits of the end that was busy for longer.
    pub once: Measures,
    /// Reported by sockets of clients on this host.
    pub client: Measures,
    /// Reported by sockets of servers on this host.
    pub server: Measures,
}

// === impl Measures ===

impl Measures {
    /// Returns the deltas of a record of the end `side`, without gauges and events.
    pub(super) fn of_deltas(record: &ConnectionRecord, side: Side) -> Self {
        let Totals { sent_bytes, received_bytes, data_segments, retransmits, lost, .. } = record.delta;
        let (towards, back) = match side {
            Side::Client => (sent_bytes, received_bytes),
            Side::Server => (received_bytes, sent_bytes),
        };
        let limits = ObservedLimits::of_deltas(record);
        Self { towards, back, data_segments, retransmits, lost, limits, ..Self::default() }
    }

    /// Returns the bytes of both directions.
    pub fn bytes(&self) -> u64 {
        self.towards.saturating_add(self.back)
    }

    /// Returns the share of the segments with data that were sent again, or `None` if no data was sent.
    pub fn retransmit_ratio(&self) -> Option<f64> {
        share_of_data(self.retransmits, self.data_segments)
    }

    /// Returns whether at least one percent of the segments with data was sent again.
    pub fn is_lossy(&self) -> bool {
        is_lossy(self.retransmits, self.data_segments)
    }

    /// Returns whether there were bytes, segments or events.
    pub fn has_activity(&self) -> bool {
        let Self { towards, back, data_segments, retransmits, lost, opened, closed, failed, .. } = self;
        [towards, back, data_segments, retransmits, lost, opened, closed, failed]
            .iter()
            .any(|count| **count > 0)
    }

    /// Adds counts and gauges of another part of the same time.
    pub fn add(&mut self, other: &Self) {
        self.add_counts(other);
        self.open = self.open.saturating_add(other.open);
        self.rtt = self.rtt.max(other.rtt);
        self.min_rtt = least(self.min_rtt, other.min_rtt);
    }

    /// Adds the counts of a later time, and takes over its gauges.
    pub(super) fn extend(&mut self, later: &Self) {
        self.add_counts(later);
        self.open = later.open;
        self.rtt = later.rtt;
        self.min_rtt = least(self.min_rtt, later.min_rtt);
    }

    fn add_counts(&mut self, other: &Self) {
        let add = |count: &mut u64, more: u64| *count = count.saturating_add(more);
        add(&mut self.towards, other.towards);
        add(&mut self.back, other.back);
        add(&mut self.data_segments, other.data_segments);
        add(&mut self.retransmits, other.retransmits);
        add(&mut self.lost, other.lost);
        add(&mut self.opened, other.opened);
        add(&mut self.closed, other.closed);
        add(&mut self.failed, other.failed);
        self.limits.add(&other.limits);
    }
}

fn least(one: Option<NonZeroU64>, other: Option<NonZeroU64>) -> Option<NonZeroU64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

// === impl Split ===

impl Split {
    /// Combines what the ends of one flow report.
    pub(super) fn of_ends(client: Option<Measures>, server: Option<Measures>) -> Self {
        let mut once = client.or(server).unwrap_or_default();
        if let (Some(_), Some(server)) = (&client, &server) {
            once.data_segments = once.data_segments.saturating_add(server.data_segments);
            once.retransmits = once.retransmits.saturating_add(server.retransmits);
            once.lost = once.lost.saturating_add(server.lost);
            once.limits = once.limits.of_sender(server.limits);
            once.rtt = once.rtt.max(server.rtt);
            once.min_rtt = least(once.min_rtt, server.min_rtt);
        }
        Self { once, client: client.unwrap_or_default(), server: server.unwrap_or_default() }
    }

    /// Returns the measures that the end `side` reports, or those of the flow.
    pub fn of(&self, side: Option<Side>) -> &Measures {
        match side {
            None => &self.once,
            Some(Side::Client) => &self.client,
            Some(Side::Server) => &self.server,
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.each(other, Measures::add);
    }

    pub(super) fn extend(&mut self, later: &Self) {
        self.each(later, Measures::extend);
    }

    fn each(&mut self, other: &Self, combine: fn(&mut Measures, &Measures)) {
        combine(&mut self.once, &other.once);
        combine(&mut self.client, &other.client);
        combine(&mut self.server, &other.server);
    }
}
