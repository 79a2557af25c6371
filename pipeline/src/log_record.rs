//! What an access-log record says: the one walk over a record's attributes that every logs exporter uses.

use std::fmt;
use std::num::NonZeroU64;

use crate::attributes::{Detail, Value, ValueRef, for_each_of_level, key};
use crate::record::{ConnectionRecord, End, Totals, UnixNanos};
use crate::window::Level;

/// Shows a time as RFC 3339 in UTC with nine digits of fraction.
#[derive(Clone, Copy, Debug)]
pub struct Rfc3339(pub UnixNanos);

/// Visits the attributes of the record's log entry, in the order in which they are shown. `event_name` and `timestamp` are the log
/// record's own fields: [`crate::record::Event::event_name`] and [`ConnectionRecord::observed`].
pub fn for_each_attribute(record: &ConnectionRecord, visit: &mut dyn FnMut(&str, ValueRef<'_>)) {
    for_each_of_level(Level::Connection, record, Detail::default(), &mut |key, held| {
        visit(key.as_str(), held.as_ref())
    });
    visit("longwave.start_known", ValueRef::Bool(record.start_known));
    if !record.exact {
        visit("longwave.exact", ValueRef::Bool(false));
    }
    if let Some(duration) = record.duration() {
        visit("longwave.connection.duration", ValueRef::Float(duration.as_secs_f64()));
    }
    visit("network.transport", ValueRef::Str("tcp"));
    visit("network.type", ValueRef::Str(if record.local.address.is_ipv4() { "ipv4" } else { "ipv6" }));
    visit("network.connection.state", ValueRef::Str(record.state.as_str()));
    visit("longwave.owner.source", ValueRef::Str(record.owner.source.as_str()));
    if record.owner.pid != 0 {
        visit("process.pid", ValueRef::Int(record.owner.pid.into()));
    }
    if let Some(name) = record.owner.executable() {
        visit("process.executable.name", ValueRef::Str(name));
    }
    if let Some(workload) = record.names.local.as_ref().filter(|workload| !workload.container_id.is_empty()) {
        visit("container.id", ValueRef::Str(&workload.container_id));
    }
    totals(&record.totals, TOTAL_KEYS, visit);
    totals(&record.delta, DELTA_KEYS, visit);
    let times = &record.round_trip;
    for (key, nanos) in [
        ("longwave.tcp.srtt", times.smoothed),
        ("longwave.tcp.rttvar", times.variance),
        ("longwave.tcp.min_rtt", times.minimum),
    ] {
        if let Some(nanos) = nanos {
            visit(key, ValueRef::Float(seconds(nanos)));
        }
    }
    visit("longwave.tcp.unsent_bytes", ValueRef::Int(record.gauges.unsent_bytes));
    visit("longwave.tcp.unread_bytes", ValueRef::Int(record.gauges.unread_bytes));
    visit("longwave.tcp.cwnd", ValueRef::Int(record.gauges.cwnd.into()));
    visit("longwave.tcp.mss", ValueRef::Int(record.gauges.mss.into()));
    if record.gauges.delivery_rate > 0 {
        visit("longwave.tcp.delivery_rate", ValueRef::Int(record.gauges.delivery_rate));
    }
    match record.end {
        Some(End::Closed(reason)) => visit(key::CLOSE_REASON, ValueRef::Str(reason.as_str())),
        Some(End::Failed(reason)) => visit(key::ERROR_TYPE, ValueRef::Text(&reason)),
        None => {}
    }
}

/// Nanoseconds as seconds.
pub fn seconds(nanos: NonZeroU64) -> f64 {
    nanos.get() as f64 / 1e9
}

const TOTAL_KEYS: [&str; 6] = [
    "longwave.tcp.sent_bytes",
    "longwave.tcp.received_bytes",
    "longwave.tcp.sent_segments",
    "longwave.tcp.received_segments",
    "longwave.tcp.retransmits",
    "longwave.tcp.lost",
];

const DELTA_KEYS: [&str; 6] = [
    "longwave.tcp.sent_bytes.delta",
    "longwave.tcp.received_bytes.delta",
    "longwave.tcp.sent_segments.delta",
    "longwave.tcp.received_segments.delta",
    "longwave.tcp.retransmits.delta",
    "longwave.tcp.lost.delta",
];

fn totals(totals: &Totals, keys: [&str; 6], visit: &mut dyn FnMut(&str, ValueRef<'_>)) {
    let values = [
        totals.sent_bytes,
        totals.received_bytes,
        totals.sent_segments,
        totals.received_segments,
        totals.retransmits,
        totals.lost,
    ];
    for (key, value) in keys.into_iter().zip(values) {
        visit(key, ValueRef::Int(value));
    }
}

// === impl Value ===

impl Value {
    /// Borrows. Attribute numbers (ports) are never negative.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Str(text) => ValueRef::Str(text),
            Self::Int(number) => ValueRef::Int(u64::try_from(*number).unwrap_or_default()),
            Self::Bool(truth) => ValueRef::Bool(*truth),
        }
    }
}

// === impl Rfc3339 ===

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.0 / 1_000_000_000, self.0.0 % 1_000_000_000);
        let (year, month, day) = civil_from_days((seconds / 86_400) as i64);
        let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
    }
}

/// Days since 1970-01-01 to year, month, day (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_shifted + 2) / 5 + 1) as u32;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
