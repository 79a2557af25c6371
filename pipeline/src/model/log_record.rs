//! The attributes of a log record. All logs exporters use [`for_each_attribute`].

use std::fmt;

use crate::model::attributes::{AttributeValue, FlowView, for_each_of_flow, key};
use crate::model::record::{ConnectionRecord, End, Limits, Totals};
use crate::model::time::{micros_to_seconds, seconds};

/// Visits the attributes of the record's log record, in the order of the output.
///
/// The name and the time of the log record are not attributes: they are [`Event::event_name`](crate::model::Event::event_name) and
/// [`ConnectionRecord::observed`].
pub fn for_each_attribute(record: &ConnectionRecord, visit: &mut dyn FnMut(&str, AttributeValue<'_>)) {
    for_each_of_flow(&FlowView::of_record(record), visit);
    visit("longwave.start_known", AttributeValue::Bool(record.start_known));
    if !record.exact {
        visit("longwave.exact", AttributeValue::Bool(false));
    }
    if let Some(duration) = record.duration() {
        visit("longwave.connection.duration", AttributeValue::Float(duration.as_secs_f64()));
    }
    visit("network.transport", AttributeValue::Str("tcp"));
    visit("network.type", AttributeValue::Str(if record.local.address.is_ipv4() { "ipv4" } else { "ipv6" }));
    visit("network.connection.state", AttributeValue::Str(record.state.as_str()));
    visit("longwave.owner.source", AttributeValue::Str(record.owner.source.as_str()));
    if record.owner.pid != 0 {
        visit("process.pid", AttributeValue::Int(record.owner.pid.into()));
    }
    if let Some(name) = record.owner.executable() {
        visit("process.executable.name", AttributeValue::Str(&name));
    }
    if let Some(workload) = record.names.local.as_ref().filter(|workload| !workload.container_id.is_empty()) {
        visit("container.id", AttributeValue::Str(&workload.container_id));
    }
    totals(&record.totals, TOTAL_KEYS, visit);
    totals(&record.delta, DELTA_KEYS, visit);
    let details = record.limits.details();
    limits(&details.total, LIMIT_KEYS, visit);
    limits(&details.delta, LIMIT_DELTA_KEYS, visit);
    let times = &record.round_trip;
    for (key, nanos) in [
        ("longwave.tcp.srtt", times.smoothed),
        ("longwave.tcp.rttvar", times.variance),
        ("longwave.tcp.min_rtt", times.minimum),
        ("longwave.tcp.rcv_rtt", times.receiver),
    ] {
        if let Some(nanos) = nanos {
            visit(key, AttributeValue::Float(seconds(nanos)));
        }
    }
    visit("longwave.tcp.unsent_bytes", AttributeValue::Int(record.gauges.unsent_bytes));
    visit("longwave.tcp.unread_bytes", AttributeValue::Int(record.gauges.unread_bytes));
    visit("longwave.tcp.cwnd", AttributeValue::Int(record.gauges.cwnd.into()));
    visit("longwave.tcp.mss", AttributeValue::Int(record.gauges.mss.into()));
    if record.gauges.delivery_rate > 0 {
        visit("longwave.tcp.delivery_rate", AttributeValue::Int(record.gauges.delivery_rate));
    }
    if let Some(rate) = details.pacing_rate {
        visit("longwave.tcp.pacing_rate", AttributeValue::Int(rate.get()));
    }
    if let Some(segments) = details.ssthresh {
        visit("longwave.tcp.ssthresh", AttributeValue::Int(segments.get().into()));
    }
    if details.zero_window {
        visit("longwave.tcp.zero_window", AttributeValue::Bool(true));
    }
    if let Some(name) = details.congestion_control() {
        visit("longwave.tcp.congestion_control", AttributeValue::Str(name));
    }
    match record.end {
        Some(End::Closed(reason)) => visit(key::CLOSE_REASON, AttributeValue::Str(reason.as_str())),
        Some(End::Failed(reason)) => visit(key::ERROR_TYPE, AttributeValue::Text(&reason)),
        None => {}
    }
}

/// Identifies a log record: the connection, the event and the time. The same record has the same id in every attempt and in every replay, so
/// that a backend can drop the second copy of a record whose response was lost.
#[derive(Clone, Copy, Debug)]
pub struct LogRecordUid<'a>(pub &'a ConnectionRecord);

impl fmt::Display for LogRecordUid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.0;
        write!(f, "{}-{}-{:x}", record.id, record.event.as_str(), record.observed.0)
    }
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

fn totals(totals: &Totals, keys: [&str; 6], visit: &mut dyn FnMut(&str, AttributeValue<'_>)) {
    let values = [
        totals.sent_bytes,
        totals.received_bytes,
        totals.sent_segments,
        totals.received_segments,
        totals.retransmits,
        totals.lost,
    ];
    for (key, value) in keys.into_iter().zip(values) {
        visit(key, AttributeValue::Int(value));
    }
}

/// Keys of [`Limits::fields`].
const LIMIT_KEYS: [&str; 7] = [
    "longwave.tcp.busy",
    "longwave.tcp.peer_window_limited",
    "longwave.tcp.send_buffer_limited",
    "longwave.tcp.out_of_order",
    "longwave.tcp.duplicate_sacks",
    "longwave.tcp.delivered_ce",
    "longwave.tcp.timeouts",
];

const LIMIT_DELTA_KEYS: [&str; 7] = [
    "longwave.tcp.busy.delta",
    "longwave.tcp.peer_window_limited.delta",
    "longwave.tcp.send_buffer_limited.delta",
    "longwave.tcp.out_of_order.delta",
    "longwave.tcp.duplicate_sacks.delta",
    "longwave.tcp.delivered_ce.delta",
    "longwave.tcp.timeouts.delta",
];

/// Number of [`LIMIT_KEYS`] that are times. They are the first.
const TIMES: usize = 3;

/// Visits the fields that are neither absent nor 0: most connections have none, and their lines stay short.
fn limits(limits: &Limits, keys: [&str; 7], visit: &mut dyn FnMut(&str, AttributeValue<'_>)) {
    for (index, (key, count)) in keys.into_iter().zip(limits.fields()).enumerate() {
        if let Some(count) = count.get().filter(|count| *count > 0) {
            let is_time = index < TIMES;
            let seconds = AttributeValue::Float(micros_to_seconds(count));
            visit(key, if is_time { seconds } else { AttributeValue::Int(count) });
        }
    }
}
