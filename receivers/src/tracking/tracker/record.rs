//! Builds the records.

use super::connection::{Connection, Observation, Step};
use super::identity::{Identity, Origin};
use super::limits::{LimitCounts, LimitFields};
use longwave_pipeline::model::{
    ConnectionId, ConnectionLimits, ConnectionRecord, Endpoint, Event, LimitDetails, Limits, OptionalCount,
    TcpState,
};

/// Returns the record of `step`, a step of `connection`.
#[inline(always)]
#[allow(
    clippy::too_many_arguments,
    reason = "what the tracker stores in several tables: two callers, on the hot path"
)]
pub(super) fn record(
    boot: u32,
    cookie: u64,
    connection: &Connection,
    identity: &Identity,
    origin: &Origin,
    observation: &Observation<'_>,
    step: &Step,
    fields: &LimitFields,
    congestion_control: [u8; 16],
) -> ConnectionRecord {
    let reported = |counts: &LimitCounts| match connection.is_measured() {
        true => counts.reported(fields),
        false => Limits::default(),
    };
    ConnectionRecord {
        id: ConnectionId { boot, netns: origin.netns, cookie, generation: connection.generation },
        tick: observation.tick,
        event: step.event,
        role: connection.role(),
        // An open event has the state that the socket left.
        state: if step.event == Event::Open { TcpState::Established } else { connection.tcp_state() },
        first: step.first,
        acked: step.acked,
        start_known: connection.start_known(),
        exact: connection.is_exact(),
        ipv6_socket: connection.is_ipv6_socket(),
        delta: step.delta,
        observed: observation.observed,
        round_trip: connection.round_trip(),
        opened: identity.opened,
        owner: origin.owner,
        limits: ConnectionLimits::new(LimitDetails {
            total: reported(&step.after.limits),
            delta: reported(&step.limits_delta),
            pacing_rate: step.pacing_rate,
            ssthresh: step.after.ssthresh,
            zero_window: fields.peer_window && connection.has_zero_window(),
            congestion_control,
        }),
        elapsed: OptionalCount::new(step.elapsed),
        totals: step.after.totals,
        connect_duration: connection.connect_duration(),
        // The generation is the monotonic time of the open.
        age: if connection.start_known() {
            observation.observed_ns.saturating_sub(connection.generation)
        } else {
            0
        },
        gauges: step.gauges.unwrap_or_else(|| connection.gauges()),
        local: Endpoint::from_bytes(identity.local, identity.local_port),
        peer: Endpoint::from_bytes(identity.peer, identity.peer_port),
        end: step.end,
        errno: observation.counters.map_or(0, |event| event.error),
        ..ConnectionRecord::blank()
    }
}
