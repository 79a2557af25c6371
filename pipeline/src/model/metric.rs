//! The metrics of a window: names, units, kinds, and the one walk over a series' points that every metrics exporter uses.

use crate::model::histogram::Histogram;
use crate::model::record::{CloseReason, FailReason};
use crate::model::window::{Measures, Window};

/// How a metric adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Monotonic sum.
    Counter,
    /// Non-monotonic sum, always cumulative: the value is the current level.
    UpDown,
    /// Explicit-bucket histogram.
    Histogram,
    /// Last value.
    Gauge,
}

/// One metric of every level; its full name is `longwave.tcp.<level>.<suffix>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Last part of the name.
    pub suffix: &'static str,
    /// UCUM unit.
    pub unit: &'static str,
    /// Kind.
    pub kind: Kind,
    /// What a backend shows.
    pub description: &'static str,
    /// Names at the levels service, workload, connection.
    pub names: [&'static str; 3],
}

/// Index into [`METRICS`].
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
    Opened,
    Closed,
    Failed,
    Active,
    Rtt,
    ConnectDuration,
    ConnectionDuration,
    RttMin,
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
pub const METRICS: [Metric; 14] = [
    metric!("sent_bytes", "By", Counter, "Unique payload bytes that the reporting socket put on the wire."),
    metric!("received_bytes", "By", Counter, "Payload bytes that the reporting socket received in order."),
    metric!("sent_segments", "{segment}", Counter, "Segments sent, with or without data."),
    metric!("received_segments", "{segment}", Counter, "Segments received, with or without data."),
    metric!("retransmits", "{segment}", Counter, "Segments retransmitted."),
    metric!("lost", "{segment}", Counter, "Segments that the stack took for lost."),
    metric!("connections.opened", "{connection}", Counter, "Connections that were established."),
    metric!("connections.closed", "{connection}", Counter, "Established connections that ended."),
    metric!("connections.failed", "{connection}", Counter, "Active opens that were never established."),
    metric!("connections.active", "{connection}", UpDown, "Established connections at the window's end."),
    metric!(
        "rtt",
        "s",
        Histogram,
        "Smoothed round trip, one sample per connection and window with acknowledged bytes."
    ),
    metric!("connect.duration", "s", Histogram, "From the open to ESTABLISHED."),
    metric!("connection.duration", "s", Histogram, "From the open to the end, of connections that ended."),
    metric!("rtt.min", "s", Gauge, "Least round trip of the connections seen."),
];

/// The value of one point.
#[derive(Clone, Copy, Debug)]
pub enum PointValue<'a> {
    /// A sum or a level.
    Int(u64),
    /// A sum split by close reason (attribute `longwave.close.reason`).
    Closed(CloseReason, u64),
    /// A sum split by failure (attribute `error.type`).
    Failed(FailReason, u64),
    /// A gauge.
    Float(f64),
    /// A histogram.
    Histogram(&'a Histogram),
}

/// Visits the points of one series in one window, in the order of [`METRICS`]. Plain sums are always there, zero or not;
/// `connections.closed`, `.failed`, histograms and gauges only if they hold something.
pub fn for_each_point<'a>(measures: &'a Measures, visit: &mut dyn FnMut(Id, PointValue<'a>)) {
    let totals = &measures.totals;
    visit(Id::SentBytes, PointValue::Int(totals.sent_bytes));
    visit(Id::ReceivedBytes, PointValue::Int(totals.received_bytes));
    visit(Id::SentSegments, PointValue::Int(totals.sent_segments));
    visit(Id::ReceivedSegments, PointValue::Int(totals.received_segments));
    visit(Id::Retransmits, PointValue::Int(totals.retransmits));
    visit(Id::Lost, PointValue::Int(totals.lost));
    visit(Id::Opened, PointValue::Int(measures.opened));
    for reason in CloseReason::ALL {
        let count = measures.closed[reason as usize - 1];
        if count > 0 {
            visit(Id::Closed, PointValue::Closed(reason, count));
        }
    }
    for (reason, count) in &measures.failed {
        visit(Id::Failed, PointValue::Failed(*reason, *count));
    }
    visit(Id::Active, PointValue::Int(measures.active));
    for (id, histogram) in [
        (Id::Rtt, &measures.rtt),
        (Id::ConnectDuration, &measures.connect_duration),
        (Id::ConnectionDuration, &measures.connection_duration),
    ] {
        if histogram.count() > 0 {
            visit(id, PointValue::Histogram(histogram));
        }
    }
    if let Some(seconds) = measures.rtt_min {
        visit(Id::RttMin, PointValue::Float(seconds));
    }
}

// === impl Id ===

impl Id {
    /// Its entry in [`METRICS`].
    pub fn metric(self) -> &'static Metric {
        &METRICS[self as usize]
    }
}

// === impl Window ===

impl Window {
    /// Metric data points in this window: the unit of accounting from a window processor on.
    pub fn point_count(&self) -> u64 {
        self.series.iter().map(|series| series.measures.point_count()).sum()
    }
}

// === impl Measures ===

impl Measures {
    /// Points that [`for_each_point`] visits.
    pub fn point_count(&self) -> u64 {
        let mut count = 0;
        for_each_point(self, &mut |_, _| count += 1);
        count
    }
}
