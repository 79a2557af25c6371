//! [`explain`]: what the counters of a connection say about why it is slow.

use std::num::NonZeroU64;

use longwave_exporters::units;
use longwave_pipeline::model::{Limit, Limits, ObservedLimits};

use super::flow::{Flow, FlowEnd, Side};
use super::measures::Measures;

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
        found.extend(limited(side, &measures.limits));
        found.extend(sent_again(side, measures));
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

/// Returns how long the longest limit of an interval has limited the connections, and how long they were observed: `3.20s of 5.00s`.
pub fn share_of_time(limits: &ObservedLimits) -> Option<(Limit, String)> {
    let (limit, time) = limits.longest()?;
    let seconds = |micros: u64| units::seconds(micros as f64 / 1e6);
    // The kernel's clock is coarse: a time can be longer than the interval.
    let connected = limits.connected.or_zero().max(time);
    Some((limit, format!("{} of {}", seconds(time), seconds(connected))))
}

/// Explains what limited the end for most of the interval, unless it was the application.
fn limited(side: Side, limits: &ObservedLimits) -> Option<String> {
    let (limit, time) = share_of_time(limits)?;
    let (name, other) = (side.as_str(), side.other().as_str());
    Some(match limit {
        Limit::App => return None,
        Limit::PeerWindow => format!(
            "The {other}'s receive window was full for {time}: the {other} does not read fast enough, or its receive buffer is too small."
        ),
        Limit::SendBuffer => format!(
            "All of the {name}'s send buffer was under way for {time}: the buffer is smaller than what fits on the path."
        ),
        Limit::Network => format!(
            "The {name} waited for the network for {time}: data was under way, or waited for the congestion window or for pacing."
        ),
    })
}

/// Explains segments that were sent again.
fn sent_again(side: Side, measures: &Measures) -> Vec<String> {
    let (name, other) = (side.as_str(), side.other().as_str());
    let Limits { duplicate_sacks, timeouts, .. } = measures.limits.limits;
    let mut found = Vec::new();
    if measures.is_lossy() {
        let percent = measures.retransmit_ratio().unwrap_or_default() * 100.0;
        // Each duplicate SACK is about a segment that the peer received twice.
        let cause = if duplicate_sacks.or_zero().saturating_mul(2) > measures.retransmits {
            format!("most of them had arrived at the {other}, only late or out of order.")
        } else {
            format!("the network loses or reorders them on the way to the {other}.")
        };
        found.push(format!("The {name} sent {percent:.1}% of its segments again: {cause}"));
    }
    if timeouts.or_zero() > 0 {
        found.push(format!(
            "Retransmission timeouts of the {name}: {}. Whole flights, or their last segments, were lost.",
            timeouts.or_zero()
        ));
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
        } else if end.record.limits.details().zero_window {
            format!(
                "{} bytes wait in the {name}'s socket for the {other}'s receive window, which is full.",
                gauges.unsent_bytes
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
