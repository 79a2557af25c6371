//! Converts sockets to the events that the tracker reads.
//!
//! `tcp_info` has no sequence numbers, but the distances between them, and the tracker uses only distances. So the event's sequence numbers
//! begin at 0:
//!
//! ```text
//! snd_una = bytes_acked
//! snd_nxt = snd_una + unacknowledged - notsent_bytes          so that sent = bytes_acked + unacknowledged - notsent_bytes - SYN - FIN
//! write_seq = snd_nxt + notsent_bytes
//! ```
//!
//! The kernel reads `unacknowledged` before it locks the socket for `tcp_info`. If bytes were written or acknowledged in between, the sum is
//! too small or too large. [`limit_sent`] limits it to the bytes that were passed to the IP layer.

use std::num::NonZeroU32;

use longwave_ebpf_abi::{ConnectionEvent, Counters, LAYOUT_VERSION, LimitCounters, Owner, Tuple, flag, kind};
use longwave_pipeline::model::TcpState;

use super::wire::{DiagSocket, TcpInfo};
use crate::tracking::tracker::LimitFields;

/// Bit of `sk_flags`: the peer's FIN was received.
pub(super) const SOCK_DONE: u16 = 1 << 1;

/// Microseconds in a millisecond. Times of limits are in milliseconds here, and in jiffies in the events of BPF programs.
const MILLI: u32 = 1_000;

/// A `bytes_sent` from which no role is derived.
const SHOWS_NO_ROLE: u64 = 1 << 62;

/// Returns the sample of an open connection. `None` if the socket has none.
pub(super) fn sample(socket: &DiagSocket, netns: u32, observed_ns: u64) -> Option<ConnectionEvent> {
    let info = socket.info.as_ref()?;
    let state = TcpState::from_kernel(socket.state);
    let is_at_rest = info.unacked == 0 && info.notsent_bytes == 0;
    let unacknowledged = if is_at_rest { 0 } else { socket.unacknowledged };
    let in_flight = i64::from(unacknowledged) - i64::from(info.notsent_bytes);
    let mut counters = counters(socket, info, in_flight);
    if !is_at_rest || info.handed_down.is_none() {
        (counters.bytes_sent, counters.bytes_retrans) = (SHOWS_NO_ROLE, 0);
    }
    let fin_received = matches!(state, TcpState::CloseWait | TcpState::LastAck | TcpState::Closing);
    Some(ConnectionEvent {
        kind: kind::SAMPLE,
        state: socket.state,
        // A list has all sockets, so that an unchanged sample is a heartbeat. The tracker ignores the flag of a changed one.
        flags: flag::HEARTBEAT
            | flag::LIMITS
            | if state == TcpState::SynSent { flag::CLIENT } else { flag::ESTABLISHED }
            | if socket.has_ulp { flag::ULP } else { 0 },
        sk_flags: if fin_received { SOCK_DONE } else { 0 },
        counters,
        limits: limits(socket, info),
        ..event(socket, netns, observed_ns)
    })
}

/// Limits the sent bytes of a sample to the bytes that were passed to the IP layer. SYN and FIN are not passed as bytes, so they are added
/// here, in the cases in which the tracker subtracts them. It subtracts a SYN unless the local end is known to be the server.
pub(super) fn limit_sent(sample: &mut ConnectionEvent, handed_down: i64, may_have_sent_syn: bool) {
    let syn = i64::from(may_have_sent_syn);
    let c = &mut sample.counters;
    let is_fin_queued = matches!(
        TcpState::from_kernel(sample.state),
        TcpState::FinWait1 | TcpState::FinWait2 | TcpState::Closing | TcpState::LastAck
    );
    let fin = i64::from(is_fin_queued && c.snd_nxt == c.write_seq);
    let in_flight = i64::from(c.snd_nxt.wrapping_sub(c.snd_una));
    let excess = (c.bytes_acked as i64 + in_flight - (handed_down + syn + fin)).max(0) as u64;
    let acked_excess = excess.saturating_sub(in_flight as u64);
    c.snd_nxt = c.snd_nxt.wrapping_sub(excess as u32);
    c.write_seq = c.write_seq.wrapping_sub(excess as u32);
    c.bytes_acked = c.bytes_acked.saturating_sub(acked_excess);
    c.snd_una = c.snd_una.wrapping_sub(acked_excess as u32);
}

/// Returns the event that reports a new connection. Its counters are zero, so that the deltas of the next event include all counts.
pub(super) fn open(of: &ConnectionEvent) -> ConnectionEvent {
    let unknown = u32::MAX;
    ConnectionEvent {
        kind: kind::OPEN,
        // The state that the socket left.
        state: TcpState::SynRecv as u8,
        flags: of.flags & !(flag::HEARTBEAT | flag::UNCERTAIN | flag::LIMITS) | flag::ESTABLISHED,
        error: 0,
        sk_flags: 0,
        shutdown: 0,
        counters: Counters { rtt_min_us: unknown, rtt_min_lifetime_us: unknown, ..Counters::default() },
        limits: LimitCounters::default(),
        ..*of
    }
}

/// Returns the event of a connection whose socket no longer exists.
pub(super) fn vanished(cookie: u64, generation: u64, observed_ns: u64) -> ConnectionEvent {
    ConnectionEvent {
        version: LAYOUT_VERSION,
        kind: kind::VANISHED,
        cookie,
        generation,
        observed_ns,
        ..ConnectionEvent::default()
    }
}

/// Returns an event without kind, state and counters.
pub(super) fn event(socket: &DiagSocket, netns: u32, observed_ns: u64) -> ConnectionEvent {
    ConnectionEvent {
        version: LAYOUT_VERSION,
        cookie: socket.cookie,
        observed_ns,
        tuple: tuple(socket),
        owner: Owner { netns, socket_cgroup: socket.cgroup, ..Owner::default() },
        ..ConnectionEvent::default()
    }
}

/// Returns the addresses and ports.
pub(super) fn tuple(socket: &DiagSocket) -> Tuple {
    Tuple {
        local: socket.local,
        peer: socket.peer,
        local_port: socket.local_port,
        peer_port: socket.peer_port,
        family: socket.family.into(),
        _pad: 0,
    }
}

/// Returns the counters. `in_flight` is the number of sequence numbers that were sent and not acknowledged. If negative, it counts as 0.
pub(super) fn counters(socket: &DiagSocket, info: &TcpInfo, in_flight: i64) -> Counters {
    let snd_una = info.bytes_acked as u32;
    let snd_nxt = snd_una.wrapping_add(u32::try_from(in_flight).unwrap_or(0));
    let (bytes_sent, bytes_retrans) = info.handed_down.unwrap_or((SHOWS_NO_ROLE, 0));
    let (rate_delivered, rate_interval_us) = delivery(info);
    Counters {
        bytes_acked: info.bytes_acked,
        bytes_received: info.bytes_received,
        bytes_sent,
        bytes_retrans,
        write_seq: snd_nxt.wrapping_add(info.notsent_bytes),
        snd_nxt,
        snd_una,
        rcv_nxt: socket.unread,
        copied_seq: 0,
        segs_out: info.segs_out,
        segs_in: info.segs_in,
        data_segs_out: info.data_segs_out,
        data_segs_in: info.data_segs_in,
        total_retrans: info.total_retrans,
        // `tcp_info` has only the segments that are currently considered lost.
        lost: 0,
        delivered: info.delivered,
        srtt_us: info.rtt.saturating_mul(8),
        mdev_us: info.rttvar.saturating_mul(4),
        rtt_min_us: info.min_rtt,
        rtt_min_lifetime_us: info.min_rtt,
        snd_cwnd: info.cwnd,
        mss_cache: info.mss,
        packets_out: info.unacked,
        rate_delivered,
        rate_interval_us,
        _pad: 0,
    }
}

/// Returns what limits the connection. The times are in milliseconds instead of jiffies.
pub(super) fn limits(socket: &DiagSocket, info: &TcpInfo) -> LimitCounters {
    let [busy, peer_window, send_buffer] = info.busy;
    LimitCounters {
        busy_jiffies: millis(busy.saturating_sub(peer_window).saturating_sub(send_buffer)),
        peer_window_jiffies: millis(peer_window),
        send_buffer_jiffies: millis(send_buffer),
        rcv_ooopack: info.rcv_ooopack,
        dsack_dups: info.dsack_dups,
        delivered_ce: info.delivered_ce,
        total_rto: info.total_rto.into(),
        rcv_rtt_us: info.rcv_rtt.saturating_mul(8),
        snd_ssthresh: info.ssthresh,
        snd_wnd: info.snd_wnd,
        pacing_rate: if info.pacing_rate == u64::MAX { 0 } else { info.pacing_rate },
        congestion_control: socket.congestion_control,
    }
}

/// Returns which limits a `tcp_info` of this length has, in bytes.
pub(super) fn limit_fields(length: u16) -> LimitFields {
    LimitFields {
        jiffy_micros: NonZeroU32::new(MILLI).filter(|_| length >= 192),
        delivered_ce: length >= 200,
        duplicate_sacks: length >= 220,
        out_of_order: length >= 228,
        peer_window: length >= 232,
        timeouts: length >= 242,
    }
}

/// Returns the low 32 bits of milliseconds, which the tracker extends.
fn millis(micros: u64) -> u32 {
    (micros / u64::from(MILLI)) as u32
}

/// Returns the delivery rate, as a number of segments and the microseconds in which they were delivered.
fn delivery(info: &TcpInfo) -> (u32, u32) {
    if info.mss == 0 || info.delivery_rate == 0 {
        return (0, 0);
    }
    // With a longer time, rounding to whole segments matters less. The shorter time is for rates above 4 GB/s.
    [1_000_000_000u32, 1_000_000]
        .into_iter()
        .find_map(|micros| {
            let bytes = u128::from(info.delivery_rate) * u128::from(micros) / 1_000_000;
            Some((u32::try_from(bytes / u128::from(info.mss)).ok()?, micros))
        })
        .unwrap_or((u32::MAX, 1_000_000))
}
