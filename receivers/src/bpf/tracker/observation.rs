//! From one event to counts, deltas and a record: what needs no table.

use hashbrown::HashMap;
use longwave_ebpf_abi::{ConnectionEvent, Counters, flag};
use longwave_pipeline::model::{
    ConnectionId, ConnectionRecord, Endpoint, Event, Gauges, Role, Totals, UnixNanos,
};

use super::super::counts::{self, Counts};
use super::super::identity::{Identity, Place, Slots};
use super::super::owner::Listeners;
use super::super::state::{State, extend, mark};
use super::super::timeline::Timeline;
use super::Owed;

/// When the connection of `event` was opened; 0 where that was not seen.
pub(super) fn opened(event: &ConnectionEvent, timeline: &Timeline) -> UnixNanos {
    if event.flags & flag::START_KNOWN != 0 { timeline.epoch(event.generation) } else { UnixNanos::default() }
}

pub(super) fn identity(event: &ConnectionEvent, place: u32) -> Identity {
    let t = &event.tuple;
    Identity { local: t.local, peer: t.peer, local_port: t.local_port, peer_port: t.peer_port, place }
}

/// What can become known only after the first sample.
pub(super) fn refresh(state: &mut State, event: &ConnectionEvent, identities: &mut Slots<Identity>) {
    refresh_marks(state, event);
    let identity = identities.get(state.identity);
    if identity.local_port != event.tuple.local_port && event.tuple.local_port != 0 {
        identities.set(state.identity, Identity { local_port: event.tuple.local_port, ..identity });
    }
}

pub(super) fn refresh_marks(state: &mut State, event: &ConnectionEvent) {
    if event.flags & (flag::ULP | flag::MPTCP | flag::REDIRECTED) != 0 {
        state.set(mark::INEXACT, true);
    }
    if let nanos @ 1.. = connect_nanos(event) {
        state.set_connect_duration(nanos);
    }
}

/// From the SYN to ESTABLISHED; 0 where it was not seen. A child's handshake is over when it is created.
pub(super) fn connect_nanos(event: &ConnectionEvent) -> u64 {
    let seen = event.flags & flag::CLIENT != 0 && event.generation != 0 && event.established_ns != 0;
    if seen { event.established_ns.saturating_sub(event.generation) } else { 0 }
}

/// The role of a connection that is older than the receiver, from its counters or from the listener on its local end. The SYN of a
/// client is no payload: totals that counted it are put right.
pub(super) fn learn_role(
    state: &mut State,
    event: &ConnectionEvent,
    listeners: &Listeners,
    owed: &mut HashMap<u64, Owed, foldhash::fast::RandomState>,
) {
    match counts::opened_actively(event) {
        Some(true) => {
            state.set(mark::CLIENT, true);
            let mut totals = state.totals();
            totals.sent_bytes = totals.sent_bytes.saturating_sub(1);
            state.set_totals(&totals);
            if let Some(owed) = owed.get_mut(&event.cookie) {
                owed.totals.sent_bytes = owed.totals.sent_bytes.saturating_sub(1);
            }
        }
        Some(false) => state.set(mark::SERVER, true),
        None if listeners.has(event.owner.netns, &event.tuple) => state.set(mark::SERVER, true),
        None => {}
    }
}

/// Takes in a sample; gives its counts, and the sent bytes that are sure.
pub(super) fn observe(state: &mut State, event: &ConnectionEvent) -> (Counts, u64) {
    let c = &event.counters;
    let base = counts::base(c);
    if event.flags & flag::HEARTBEAT != 0 {
        // Nothing moves while an idle socket is read.
        state.base = base;
        state.set(mark::BASE_SURE, true);
    } else if base == state.base {
        // The one that the state was made from says nothing about itself.
        let again = state.is(mark::REPORTED);
        state.set(mark::BASE_SURE, again || state.is(mark::BASE_SURE));
    } else if !state.is(mark::BASE_SURE) {
        // One of the two is torn: the later base counts fewer bytes.
        if base.wrapping_sub(state.base) as i32 > 0 {
            state.base = base;
        }
    }
    let mended: Counters = counts::mended(c, state.base);
    let counts = Counts::of(event, &mended, state.is(mark::CLIENT));
    let sent = if state.is(mark::BASE_SURE) {
        counts.sent
    } else {
        // Not more than what single counters vouch for: a total must never exceed the final one.
        let vouched = if c.bytes_retrans == 0 { c.bytes_sent.max(counts.acked) } else { counts.acked };
        counts.sent.min(vouched)
    };
    state.observe(event.state, c, counts.unsent(), counts.unread);
    (counts, sent)
}

/// A heartbeat that tells nothing new, where idle records are not wanted.
pub(super) fn idle_heartbeat(
    state: &State,
    event: &ConnectionEvent,
    before: &Totals,
    totals: &Totals,
) -> bool {
    event.flags & flag::HEARTBEAT != 0 && state.is(mark::REPORTED) && before == totals
}

/// `floor`, continued to what an event's counters say; no count goes back.
pub(super) fn advance(floor: &Totals, c: &Counters, sent: u64, received: u64) -> Totals {
    Totals {
        sent_bytes: sent.max(floor.sent_bytes),
        received_bytes: received.max(floor.received_bytes),
        sent_segments: extend(floor.sent_segments, c.segs_out),
        received_segments: extend(floor.received_segments, c.segs_in),
        data_segments: extend(floor.data_segments, c.data_segs_out),
        retransmits: extend(floor.retransmits, c.total_retrans),
        lost: extend(floor.lost, c.lost),
    }
}

pub(super) fn difference(after: &Totals, before: &Totals) -> Totals {
    Totals {
        sent_bytes: after.sent_bytes.saturating_sub(before.sent_bytes),
        received_bytes: after.received_bytes.saturating_sub(before.received_bytes),
        sent_segments: after.sent_segments.saturating_sub(before.sent_segments),
        received_segments: after.received_segments.saturating_sub(before.received_segments),
        data_segments: after.data_segments.saturating_sub(before.data_segments),
        retransmits: after.retransmits.saturating_sub(before.retransmits),
        lost: after.lost.saturating_sub(before.lost),
    }
}

pub(super) fn gauges(c: &Counters, counts: &Counts) -> Gauges {
    let delivered = u64::from(c.rate_delivered) * u64::from(c.mss_cache) * 1_000_000;
    Gauges {
        unsent_bytes: counts.unsent(),
        unread_bytes: counts.unread,
        in_flight_bytes: counts.in_flight(),
        delivery_rate: delivered.checked_div(c.rate_interval_us.into()).unwrap_or(0),
        cwnd: c.snd_cwnd,
        mss: c.mss_cache,
    }
}

/// A record of what the state remembers; an update without news.
pub(super) fn record(
    id: ConnectionId,
    state: &State,
    identity: &Identity,
    place: &Place,
) -> ConnectionRecord {
    let role = if state.is(mark::CLIENT) {
        Role::Client
    } else if state.is(mark::SERVER) {
        Role::Server
    } else {
        Role::Unknown
    };
    ConnectionRecord {
        id,
        event: Event::Update,
        role,
        state: state.tcp_state(),
        exact: !state.is(mark::INEXACT),
        ipv6_socket: state.is(mark::IPV6),
        start_known: state.is(mark::START_KNOWN),
        local: Endpoint::from_bytes(identity.local, identity.local_port),
        peer: Endpoint::from_bytes(identity.peer, identity.peer_port),
        owner: place.owner,
        opened: state.opened(),
        connect_duration: state.connect_duration(),
        totals: state.totals(),
        round_trip: state.round_trip(),
        gauges: state.gauges(),
        ..ConnectionRecord::blank()
    }
}
