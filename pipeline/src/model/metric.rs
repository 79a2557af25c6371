//! The metrics of a window: names, units and kinds. All metrics exporters use [`for_each_point`].

use crate::model::histogram::Histogram;
use crate::model::record::{CloseReason, FailReason, OptionalCount};
use crate::model::window::{Measures, Window};

/// How the points of a metric are aggregated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Monotonic sum over the window.
    Counter,
    /// Non-monotonic sum that is always cumulative: the value is the current number.
    UpDown,
    /// Explicit-bucket histogram.
    Histogram,
    /// Last value in the window.
    Gauge,
}

/// One metric. It exists at every level, with the name `longwave.tcp.<level>.<suffix>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Part of the name after the level.
    pub suffix: &'static str,
    /// Unit in UCUM's notation, such as `By` or `s`.
    pub unit: &'static str,
    /// How its points are aggregated.
    pub kind: Kind,
    /// Description, which backends display.
    pub description: &'static str,
    /// Full names at the levels service, workload and connection.
    pub names: [&'static str; 3],
}

/// A metric. The number is the index in [`METRICS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
#[allow(missing_docs, reason = "METRICS documents them")]
pub enum Id {
    SentBytes,
    ReceivedBytes,
    SentSegments,
    ReceivedSegments,
    Retransmits,
    Lost,
    Connected,
    Busy,
    PeerWindowLimited,
    SendBufferLimited,
    OutOfOrder,
    DuplicateSacks,
    DeliveredCe,
    Timeouts,
    Opened,
    Closed,
    Failed,
    Active,
    Rtt,
    ConnectDuration,
    ConnectionDuration,
    MinRtt,
}

macro_rules! metric {
    ($suffix:literal, $unit:literal, $kind:ident, $description:literal) => {
        Metric {
            suffix: $suffix,
            unit: $unit,
            kind: Kind::$kind,
            description: $description,
            names: [
                concat!("longwave.tcp.service.", $suffix),
                concat!("longwave.tcp.workload.", $suffix),
                concat!("longwave.tcp.connection.", $suffix),
            ],
        }
    };
}

/// All metrics, in the order of [`Id`].
pub const METRICS: [Metric; 22] = [
    metric!("sent_bytes", "By", Counter, "Unique payload bytes that the reporting socket put on the wire."),
    metric!("received_bytes", "By", Counter, "Payload bytes that the reporting socket received in order."),
    metric!("sent_segments", "{segment}", Counter, "Segments sent, with or without data."),
    metric!("received_segments", "{segment}", Counter, "Segments received, with or without data."),
    metric!("retransmits", "{segment}", Counter, "Segments retransmitted."),
    metric!("lost", "{segment}", Counter, "Segments that the kernel marked as lost."),
    metric!(
        "connected",
        "s",
        Counter,
        "Time for which the connections were observed, summed over the connections."
    ),
    metric!("busy", "s", Counter, "Time with data to send or to be acknowledged."),
    metric!("peer_window_limited", "s", Counter, "Busy time in which the peer's receive window was full."),
    metric!("send_buffer_limited", "s", Counter, "Busy time in which the send buffer was too small."),
    metric!("out_of_order", "{segment}", Counter, "Segments received out of order."),
    metric!(
        "duplicate_sacks",
        "{segment}",
        Counter,
        "Duplicate SACKs received, for segments retransmitted although they had arrived."
    ),
    metric!("delivered_ce", "{segment}", Counter, "Segments delivered with a congestion mark (ECN)."),
    metric!("timeouts", "{timeout}", Counter, "Retransmission timeouts."),
    metric!("connections.opened", "{connection}", Counter, "Connections that were established."),
    metric!("connections.closed", "{connection}", Counter, "Established connections that were closed."),
    metric!("connections.failed", "{connection}", Counter, "Active opens that were never established."),
    metric!("connections.active", "{connection}", UpDown, "Established connections at the window's end."),
    metric!(
        "rtt",
        "s",
        Histogram,
        "Smoothed round trip, one sample per connection and window with acknowledged bytes."
    ),
    metric!("connect.duration", "s", Histogram, "Time from the open to ESTABLISHED."),
    metric!(
        "connection.duration",
        "s",
        Histogram,
        "Time from the open to the close of connections that were closed."
    ),
    metric!("min_rtt", "s", Gauge, "Minimum round trip of the connections observed."),
];

/// The value of one point.
#[derive(Clone, Copy, Debug)]
pub enum PointValue<'a> {
    /// Value of a sum.
    Int(u64),
    /// Value of a sum of times, in microseconds. Exporters convert it to seconds ([`micros_to_seconds`](crate::model::micros_to_seconds)).
    Micros(u64),
    /// Count for one close reason (attribute `longwave.close.reason`).
    Closed(CloseReason, u64),
    /// Count for one reason of failure (attribute `error.type`).
    Failed(FailReason, u64),
    /// Value of a gauge.
    Float(f64),
    /// Samples of a histogram.
    Histogram(&'a Histogram),
}

/// Visits the points of one series in one window, in the order of [`METRICS`].
///
/// Plain sums are always visited, even if they are zero, except for those of [`optional_sum`]. They and `connections.closed`, `connections.failed`, histograms and gauges are visited
/// only if they have a value.
pub fn for_each_point<'a>(measures: &'a Measures, visit: &mut dyn FnMut(Id, PointValue<'a>)) {
    for id in Id::ALL {
        for_each_point_of(id, measures, &mut |value| visit(id, value));
    }
}

/// Returns the sum of a metric whose sum may be absent, because the kernel lacks the field; `None` for the other metrics.
pub fn optional_sum(id: Id, measures: &Measures) -> Option<OptionalCount> {
    let limits = &measures.limits;
    Some(match id {
        Id::Connected => measures.connected,
        Id::Busy => limits.busy,
        Id::PeerWindowLimited => limits.peer_window,
        Id::SendBufferLimited => limits.send_buffer,
        Id::OutOfOrder => limits.out_of_order,
        Id::DuplicateSacks => limits.duplicate_sacks,
        Id::DeliveredCe => limits.delivered_ce,
        Id::Timeouts => limits.timeouts,
        _ => return None,
    })
}

/// Visits the points of one metric, as [`for_each_point`] does.
pub fn for_each_point_of<'a>(id: Id, measures: &'a Measures, visit: &mut dyn FnMut(PointValue<'a>)) {
    let optional = optional_sum(id, measures).and_then(OptionalCount::get).into_iter();
    let totals = &measures.totals;
    let histogram = match id {
        Id::SentBytes => return visit(PointValue::Int(totals.sent_bytes)),
        Id::ReceivedBytes => return visit(PointValue::Int(totals.received_bytes)),
        Id::SentSegments => return visit(PointValue::Int(totals.sent_segments)),
        Id::ReceivedSegments => return visit(PointValue::Int(totals.received_segments)),
        Id::Retransmits => return visit(PointValue::Int(totals.retransmits)),
        Id::Lost => return visit(PointValue::Int(totals.lost)),
        Id::Connected | Id::Busy | Id::PeerWindowLimited | Id::SendBufferLimited => {
            return optional.for_each(|sum| visit(PointValue::Micros(sum)));
        }
        Id::OutOfOrder | Id::DuplicateSacks | Id::DeliveredCe | Id::Timeouts => {
            return optional.for_each(|sum| visit(PointValue::Int(sum)));
        }
        Id::Opened => return visit(PointValue::Int(measures.opened)),
        Id::Closed => {
            let counts = CloseReason::ALL.into_iter().zip(measures.closed);
            return counts.filter(|(_, count)| *count > 0).for_each(|(reason, count)| {
                visit(PointValue::Closed(reason, count));
            });
        }
        Id::Failed => {
            return measures
                .failed
                .iter()
                .for_each(|(reason, count)| visit(PointValue::Failed(*reason, *count)));
        }
        Id::Active => return visit(PointValue::Int(measures.active)),
        Id::MinRtt => {
            return measures.min_rtt.into_iter().for_each(|seconds| visit(PointValue::Float(seconds)));
        }
        Id::Rtt => &measures.rtt,
        Id::ConnectDuration => &measures.connect_duration,
        Id::ConnectionDuration => &measures.connection_duration,
    };
    if histogram.count() > 0 {
        visit(PointValue::Histogram(histogram));
    }
}

// === impl Id ===

impl Id {
    /// All metrics, in the order of [`METRICS`].
    pub const ALL: [Self; METRICS.len()] = [
        Self::SentBytes,
        Self::ReceivedBytes,
        Self::SentSegments,
        Self::ReceivedSegments,
        Self::Retransmits,
        Self::Lost,
        Self::Connected,
        Self::Busy,
        Self::PeerWindowLimited,
        Self::SendBufferLimited,
        Self::OutOfOrder,
        Self::DuplicateSacks,
        Self::DeliveredCe,
        Self::Timeouts,
        Self::Opened,
        Self::Closed,
        Self::Failed,
        Self::Active,
        Self::Rtt,
        Self::ConnectDuration,
        Self::ConnectionDuration,
        Self::MinRtt,
    ];

    /// Returns the metric's entry in [`METRICS`].
    pub fn metric(self) -> &'static Metric {
        &METRICS[self as usize]
    }
}

// === impl Window ===

impl Window {
    /// Returns the number of metric data points. They are the items that accounting counts after a window processor.
    pub fn point_count(&self) -> u64 {
        self.series.iter().map(|series| series.measures.point_count()).sum()
    }
}

// === impl Measures ===

impl Measures {
    /// Returns the number of points that [`for_each_point`] visits.
    pub fn point_count(&self) -> u64 {
        let mut count = 0;
        for_each_point(self, &mut |_, _| count += 1);
        count
    }
}

#[cfg(test)]
mod tests;
