//! Derives how a connection ended from the final `tcp_info` of its socket.
//!
//! The kernel reports it after the close. The state is CLOSE, and `sk_err` and the received FIN are missing. The counts are final, but they do
//! not show whether they include SYN and FIN.
//!
//! **Sent bytes.** `bytes_acked + unacknowledged - notsent_bytes` is payload + SYN + FIN. `bytes_sent - bytes_retrans` is the payload, unless
//! the local stack refused a segment: then it is larger. So a difference of 0, 1 or 2 is the number of SYN and FIN.
//!
//! **Received bytes.** `bytes_received` is payload + FIN. Whether a FIN was received is certain in these cases:
//! - A list showed a state that follows the peer's FIN: it was received.
//! - No segment with data was received: each received byte is a FIN.
//! - The kernel has a small socket in FIN_WAIT2 for the connection: no FIN was received, because the small socket waits for it.
//! - The kernel has a small socket in TIME_WAIT, and bytes were not read: the unread byte is the FIN, because an application that closes with
//!   unread data sends a reset.
//!
//! Otherwise it is assumed, and [`flag::UNCERTAIN`] marks that the bytes may be off by one.

use longwave_ebpf_abi::{ConnectionEvent, flag, kind};
use longwave_pipeline::model::TcpState;

use super::event::{SOCK_DONE, counters, event, limits};
use super::known::{KnownConnection, mark};
use super::wire::{DiagSocket, TcpInfo};

const ECONNREFUSED: u16 = 111;
const ECONNRESET: u16 = 104;
const ETIMEDOUT: u16 = 110;

/// Number of consecutive timeouts from which a connection is assumed to have timed out. The kernel's limits are 8 for an orphan and 15.
const MANY_TIMEOUTS: u8 = 5;

/// Facts about an ended socket that the kernel's message lacks.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndedContext<'a> {
    /// Its state from lists. `None` if it was in none.
    pub known: Option<&'a KnownConnection>,
    /// Whether a socket listens on its local port.
    pub has_listener: bool,
    /// State of the small socket that replaced it. `None` if there is none.
    pub successor: Option<TcpState>,
}

/// Which of SYN and FINs the counts include.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Controls {
    syn_sent: bool,
    fin_sent: bool,
    fin_received: bool,
    is_certain: bool,
}

/// Returns whether the connection was established.
pub(super) fn is_established(info: &TcpInfo) -> bool {
    info.bytes_acked > 0
        || info.bytes_received > 0
        || info.handed_down_once().is_some_and(|bytes| bytes > 0)
        || info.snd_wnd > 0
        || info.options != 0
        || info.min_rtt != u32::MAX
}

/// Returns whether the received bytes are uncertain without a look-up of the successor.
pub(super) fn needs_successor(socket: &DiagSocket, known: Option<&KnownConnection>) -> bool {
    socket.info.is_some_and(|info| {
        socket.peer_port != 0 && info.bytes_received > 0 && certain_fin_received(&info, known).is_none()
    })
}

/// Returns the close, or the failure, of a socket that has a peer.
pub(super) fn close(
    socket: &DiagSocket,
    info: &TcpInfo,
    context: &EndedContext<'_>,
    netns: u32,
    observed_ns: u64,
) -> ConnectionEvent {
    let in_flight = i64::from(socket.unacknowledged) - i64::from(info.notsent_bytes);
    let counters = counters(socket, info, in_flight);
    let base = ConnectionEvent { limits: limits(socket, info), ..event(socket, netns, observed_ns) };
    if !is_established(info) {
        let error = match (info.segs_in, info.total_retrans) {
            (0, 0) => 0,
            (0, _) => ETIMEDOUT,
            _ => ECONNREFUSED,
        };
        let state = TcpState::SynSent as u8;
        let flags = flag::CLIENT | flag::LIMITS;
        return ConnectionEvent { kind: kind::CLOSE, state, flags, error, counters, ..base };
    }
    let controls = controls(socket, info, context);
    let is_acked = socket.unacknowledged == 0;
    let state = match (controls.fin_sent, controls.fin_received) {
        (false, false) => TcpState::Established,
        (false, true) => TcpState::CloseWait,
        (true, _) if is_acked && context.successor.is_some() => TcpState::FinWait2,
        (true, false) if is_acked => TcpState::FinWait2,
        (true, false) => TcpState::FinWait1,
        (true, true) => TcpState::LastAck,
    };
    let unread = socket.unread.saturating_sub(u32::from(controls.fin_received));
    let error = if controls.fin_sent && is_acked {
        0
    } else if info.probes > 0 || info.retransmits >= MANY_TIMEOUTS {
        ETIMEDOUT
    } else if unread > 0 {
        0
    } else {
        ECONNRESET
    };
    let certainty = if controls.is_certain { 0 } else { flag::UNCERTAIN };
    let role = if controls.syn_sent { flag::CLIENT } else { flag::SERVER };
    ConnectionEvent {
        kind: kind::CLOSE,
        state: state as u8,
        flags: flag::ESTABLISHED | flag::LIMITS | role | certainty,
        error,
        sk_flags: if controls.fin_received { SOCK_DONE } else { 0 },
        // The application has closed the socket, because otherwise it would still exist.
        shutdown: 3,
        counters,
        ..base
    }
}

/// Returns the close of a socket without a peer port, whose counters the kernel had reset.
pub(super) fn close_without_counters(socket: &DiagSocket, netns: u32, observed_ns: u64) -> ConnectionEvent {
    ConnectionEvent { kind: kind::CLOSE, flags: flag::UNCERTAIN, ..event(socket, netns, observed_ns) }
}

fn controls(socket: &DiagSocket, info: &TcpInfo, context: &EndedContext<'_>) -> Controls {
    let (syn_sent, fin_sent, is_sent_certain) = sent(socket, info, context);
    let (fin_received, is_received_certain) = match certain_fin_received(info, context.known) {
        Some(fin_received) => (fin_received, true),
        None => match context.successor {
            Some(TcpState::FinWait2) => (false, true),
            Some(TcpState::TimeWait) if socket.unread > 0 => (true, true),
            // Either the small socket received the FIN, or the ended one did and the application read it.
            Some(TcpState::TimeWait) => (false, false),
            // Without a small socket, the peer's FIN came first.
            _ => (fin_sent && socket.unacknowledged == 0 && socket.unread <= 1, false),
        },
    };
    Controls { syn_sent, fin_sent, fin_received, is_certain: is_sent_certain && is_received_certain }
}

/// Returns whether a SYN and a FIN are among the sent bytes, and whether the number of both is certain.
fn sent(socket: &DiagSocket, info: &TcpInfo, context: &EndedContext<'_>) -> (bool, bool, bool) {
    let role = context.known.and_then(KnownConnection::is_client);
    // A server's port usually has a listener. A successor says that a FIN was sent.
    let guess = role.unwrap_or(!context.has_listener && context.successor.is_none());
    let advanced = info.bytes_acked as i64 + i64::from(socket.unacknowledged) - i64::from(info.notsent_bytes);
    let controls = info.handed_down_once().map(|handed_down| advanced - handed_down);
    match (controls, role) {
        // Some bytes were not sent, so no FIN was sent. It is unknown whether one was queued.
        (Some(0), None | Some(false)) if info.notsent_bytes > 0 => (false, false, false),
        (Some(1), None | Some(true)) if info.notsent_bytes > 0 => (true, false, false),
        (Some(controls @ 0..=1), Some(false)) => (false, controls == 1, true),
        (Some(controls @ 1..=2), Some(true)) => (true, controls == 2, true),
        (Some(0), None) => (false, false, true),
        (Some(1), None) => (guess, !guess, true),
        (Some(2), None) => (true, true, true),
        // The local stack refused segments, or the kernel lacks the counter.
        _ => (guess, socket.unacknowledged == 0, false),
    }
}

/// Returns whether the peer's FIN was received, if that is certain without a look-up.
fn certain_fin_received(info: &TcpInfo, known: Option<&KnownConnection>) -> Option<bool> {
    if known.is_some_and(|known| known.has(mark::FIN_RECEIVED)) {
        return Some(true);
    }
    (info.data_segs_in == 0 || info.bytes_received == 0).then_some(info.bytes_received > 0)
}

#[cfg(test)]
mod tests;
