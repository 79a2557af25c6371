//! Derives why a connection closed or failed from the state that it left, `sk_err`, and the bytes that were not sent or read.
//!
//! What the kernel does (`tcp.c`, `tcp_input.c`, `tcp_timer.c`):
//! - A received RST sets `sk_err` to ECONNRESET, from CLOSE_WAIT to EPIPE. `tcp_disconnect` sets ECONNRESET too, but after the transition.
//! - Retransmissions, keepalives and the user timeout set ETIMEDOUT, or the last soft error (no route) instead.
//! - `tcp_abort` (`ss -K`) sets ECONNABORTED.
//! - A close under `TCP_REPAIR` sends nothing.
//! - An orderly close leaves LAST_ACK or CLOSING with everything acknowledged, or FIN_WAIT2: on the peer's FIN, or when a small TIME_WAIT
//!   socket takes over an orphan's wait for it.
//! - Linger 0, unread data at close and connect(AF_UNSPEC) leave any other state with `sk_err` 0 and send a reset. In FIN_WAIT2 they are
//!   recognized by unread data, or by a receiving side that was not shut down.

use longwave_ebpf_abi::{ConnectionEvent, flag};
use longwave_pipeline::model::{CloseReason, End, FailReason, TcpState};

use super::counts::{Counts, all_acked, established, fin_received};

const EPIPE: u16 = 32;
const ENETDOWN: u16 = 100;
const ENETUNREACH: u16 = 101;
const ECONNRESET: u16 = 104;
const ETIMEDOUT: u16 = 110;
const EHOSTDOWN: u16 = 112;
const EHOSTUNREACH: u16 = 113;

const RCV_SHUTDOWN: u8 = 1;

/// Returns how the connection of a CLOSE event closed or failed. `server`: the socket was created after its handshake, so it cannot have
/// failed.
pub fn outcome(event: &ConnectionEvent, counts: &Counts, server: bool) -> End {
    if server || established(event) {
        End::Closed(close_reason(event, counts))
    } else {
        End::Failed(FailReason::from_errno(event.error))
    }
}

fn close_reason(event: &ConnectionEvent, counts: &Counts) -> CloseReason {
    let left = TcpState::from_kernel(event.state);
    match event.error {
        ECONNRESET => return CloseReason::ResetReceived,
        EPIPE if left == TcpState::CloseWait => return CloseReason::ResetReceived,
        ETIMEDOUT => return CloseReason::Timeout,
        _ if event.flags & flag::REPAIR != 0 => return CloseReason::Aborted,
        _ => {}
    }
    if orderly(event, left, counts) {
        // `sk_err` can be left over from an earlier error that the application did not read.
        return CloseReason::Fin;
    }
    match event.error {
        ENETDOWN | ENETUNREACH | EHOSTDOWN | EHOSTUNREACH => CloseReason::Timeout,
        0 if sends_reset(event, left) => CloseReason::ResetSent,
        _ => CloseReason::Aborted,
    }
}

fn orderly(event: &ConnectionEvent, left: TcpState, counts: &Counts) -> bool {
    match left {
        TcpState::LastAck | TcpState::Closing => all_acked(&event.counters),
        TcpState::FinWait2 => {
            fin_received(event) || (counts.unread == 0 && event.shutdown & RCV_SHUTDOWN != 0)
        }
        TcpState::TimeWait => true,
        _ => false,
    }
}

fn sends_reset(event: &ConnectionEvent, left: TcpState) -> bool {
    match left {
        TcpState::Established
        | TcpState::CloseWait
        | TcpState::FinWait1
        | TcpState::FinWait2
        | TcpState::SynRecv => true,
        TcpState::LastAck | TcpState::Closing => event.counters.snd_nxt != event.counters.write_seq,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
