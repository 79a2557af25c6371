use longwave_ebpf_abi::{Counters, flag};

use super::*;

fn close(state: TcpState, error: u16) -> ConnectionEvent {
    ConnectionEvent {
        kind: longwave_ebpf_abi::kind::CLOSE,
        state: state as u8,
        error,
        flags: flag::ESTABLISHED | flag::CLIENT,
        shutdown: 3,
        ..ConnectionEvent::default()
    }
}

fn reason(event: &ConnectionEvent) -> CloseReason {
    match outcome(event, &Counts::default(), false) {
        End::Closed(reason) => reason,
        End::Failed(reason) => panic!("failed: {reason}"),
    }
}

/// Scenario: each errno with which the kernel closes an established connection.
/// Guarantees: the close reason is what happened. A soft error left over at an orderly close is not its reason.
#[test]
fn errnos_become_close_reasons() {
    use TcpState::*;
    for (state, error, expected) in [
        (Established, 104, CloseReason::ResetReceived),
        (CloseWait, 32, CloseReason::ResetReceived),
        (FinWait2, 104, CloseReason::ResetReceived),
        (Established, 110, CloseReason::Timeout),
        (FinWait1, 110, CloseReason::Timeout),
        (Established, 113, CloseReason::Timeout),
        (Established, 103, CloseReason::Aborted),
        (CloseWait, 103, CloseReason::Aborted),
        (LastAck, 113, CloseReason::Fin),
        (FinWait2, 0, CloseReason::Fin),
        (Closing, 0, CloseReason::Fin),
        (Established, 0, CloseReason::ResetSent),
        (FinWait1, 0, CloseReason::ResetSent),
    ] {
        assert_eq!(reason(&close(state, error)), expected, "{state:?} with {error}");
    }
}

/// Scenario: LAST_ACK is left before the FIN was acknowledged, once with unsent data (a reset is sent), once without.
/// Guarantees: neither is an orderly close.
#[test]
fn an_unacknowledged_fin_is_no_orderly_close() {
    let mut event = close(TcpState::LastAck, 0);
    event.counters = Counters { write_seq: 10, snd_nxt: 5, snd_una: 5, ..Counters::default() };
    assert_eq!(reason(&event), CloseReason::ResetSent);
    event.counters.snd_nxt = 10;
    assert_eq!(reason(&event), CloseReason::Aborted);
}

/// Scenario: FIN_WAIT2 is left without the peer's FIN: by an orphan, with unread data at close, by connect(AF_UNSPEC).
/// Guarantees: only the first is orderly; the others sent a reset.
#[test]
fn fin_wait_2_without_the_peers_fin() {
    let orphan = close(TcpState::FinWait2, 0);
    assert_eq!(reason(&orphan), CloseReason::Fin);
    let unread = Counts { unread: 5, ..Counts::default() };
    assert_eq!(outcome(&orphan, &unread, false), End::Closed(CloseReason::ResetSent));
    let disconnected = ConnectionEvent { shutdown: 2, ..orphan };
    assert_eq!(reason(&disconnected), CloseReason::ResetSent);
}

/// Scenario: opens that did not reach ESTABLISHED, by errno.
/// Guarantees: the reason of the failure. An accepted socket never fails, because it is created after its handshake.
#[test]
fn errnos_become_failure_reasons() {
    for (error, expected) in [
        (111, FailReason::Refused),
        (110, FailReason::Timeout),
        (113, FailReason::Unreachable),
        (0, FailReason::Cancelled),
    ] {
        let event = ConnectionEvent { flags: flag::CLIENT, ..close(TcpState::SynSent, error) };
        assert_eq!(outcome(&event, &Counts::default(), false), End::Failed(expected));
        let child = ConnectionEvent { flags: flag::SERVER, ..close(TcpState::SynRecv, 104) };
        assert_eq!(outcome(&child, &Counts::default(), true), End::Closed(CloseReason::ResetReceived));
    }
}
