//! [`explain`]: what the counters of a connection say about why it is slow.

use std::num::NonZeroU64;

use super::flow::{Flow, FlowEnd, Side};

/// A round trip is long if it is this many times the minimum.
const LONG: u64 = 3;
/// A shorter excess over the minimum does not matter, in nanoseconds.
const SHORT: u64 = 1_000_000;

/// Returns sentences about what slows the connection down, as far as its last records show it. Empty if they show nothing.
pub fn explain(flow: &Flow) -> Vec<String> {
    let mut found = Vec::new();
    for (side, end) in flow.ends() {
        let measures = flow.row.last.of(Some(side));
        let (name, other) = (side.as_str(), side.other().as_str());
        if measures.is_lossy() {
            let percent = measures.retransmit_ratio().unwrap_or_default() * 100.0;
            found.push(format!(
                "The {name} sent {percent:.1}% of its segments again: the network loses or reorders them on the way to the {other}."
            ));
        }
        if let Some(times) = excess(end) {
            found.push(format!(
                "The round trip that the {name} measures is {times} times its minimum: segments wait in queues, or the {other} is busy."
            ));
        }
        if end.record.end.is_none() {
            found.extend(waiting(side, end));
        }
    }
    found
}

/// Returns how many times its minimum the round trip is, if it is long.
fn excess(end: &FlowEnd) -> Option<u64> {
    let round_trip = end.record.round_trip;
    let (now, minimum) = (round_trip.smoothed?, round_trip.minimum?);
    let is_long = |now: NonZeroU64, minimum: NonZeroU64| {
        now.get() / minimum >= LONG && now.get() - minimum.get() >= SHORT
    };
    (now > minimum && is_long(now, minimum)).then(|| now.get() / minimum)
}

/// Explains bytes that wait in a socket.
fn waiting(side: Side, end: &FlowEnd) -> Vec<String> {
    let gauges = &end.record.gauges;
    let (name, other) = (side.as_str(), side.other().as_str());
    let mut found = Vec::new();
    if gauges.unread_bytes > 0 {
        found.push(format!(
            "{} bytes had arrived at the {name} and were not read yet at the last sample: if they stay, its process is too slow.",
            gauges.unread_bytes
        ));
    }
    let window = u64::from(gauges.cwnd) * u64::from(gauges.mss);
    if gauges.unsent_bytes > 0 && window > 0 {
        found.push(if gauges.in_flight_bytes >= window {
            format!(
                "{} bytes wait in the {name}'s socket for its congestion window ({} segments): the network is the limit.",
                gauges.unsent_bytes, gauges.cwnd
            )
        } else {
            format!(
                "{} bytes wait in the {name}'s socket although its congestion window has room: the {other}'s receive window, or pacing, is \
                 the limit.",
                gauges.unsent_bytes
            )
        });
    }
    found
}
