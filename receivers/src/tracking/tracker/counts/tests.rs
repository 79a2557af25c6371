use longwave_ebpf_abi::{ConnectionEvent, Counters, flag, kind};
use longwave_pipeline::model::{CloseReason, End, FailReason};

use super::super::outcome::outcome;
use super::*;

const CLIENT: u16 = flag::START_KNOWN | flag::ESTABLISHED | flag::CLIENT;
const SERVER: u16 = flag::START_KNOWN | flag::ESTABLISHED | flag::SERVER;
const FAILED: u16 = flag::START_KNOWN | flag::CLIENT;

/// Returns a CLOSE event as recorded on Linux 6.18: state, flags, `sk_err`, `sk_flags`, `sk_shutdown`, then `bytes_acked`,
/// `bytes_received`, `bytes_sent`, `bytes_retrans`, `write_seq`, `snd_nxt`, `snd_una`, `rcv_nxt`, `copied_seq`, `segs_out`.
fn recorded(state: u8, flags: u16, error: u16, sk_flags: u16, shutdown: u8, c: [u64; 10]) -> ConnectionEvent {
    ConnectionEvent {
        kind: kind::CLOSE,
        state,
        flags,
        error,
        sk_flags,
        shutdown,
        counters: Counters {
            bytes_acked: c[0],
            bytes_received: c[1],
            bytes_sent: c[2],
            bytes_retrans: c[3],
            write_seq: c[4] as u32,
            snd_nxt: c[5] as u32,
            snd_una: c[6] as u32,
            rcv_nxt: c[7] as u32,
            copied_seq: c[8] as u32,
            segs_out: c[9] as u32,
            ..Counters::default()
        },
        ..ConnectionEvent::default()
    }
}

/// A recorded close, and what the applications counted.
struct Case {
    what: &'static str,
    event: ConnectionEvent,
    sent: u64,
    unsent: u64,
    received: u64,
    unread: u64,
    end: End,
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    use CloseReason::{Fin, ResetReceived, ResetSent};
    let case = |what, event, [sent, unsent, received, unread]: [u64; 4], end| Case { what, event, sent, unsent, received, unread, end };
    let closed = End::Closed;
    vec![
        case("clean close, client", recorded(5, CLIENT, 0, 771, 3, [1002, 501, 1000, 0, 2880939539, 2880939539, 2880939539, 3116770045, 3116770044, 6]), [1000, 0, 500, 0], closed(Fin)),
        case("clean close, server", recorded(9, SERVER, 0, 771, 3, [501, 1001, 500, 0, 3116770045, 3116770045, 3116770045, 2880939539, 2880939539, 3]), [500, 0, 1000, 0], closed(Fin)),
        case("half-close, client: 300 bytes came with the FIN", recorded(5, CLIENT, 0, 770, 3, [1002, 301, 1000, 0, 1459168048, 1459168048, 1459168048, 2332252771, 2332252470, 6]), [1000, 0, 300, 300], closed(Fin)),
        case("half-close, server", recorded(9, SERVER, 0, 771, 3, [301, 1001, 300, 0, 2332252771, 2332252771, 2332252771, 1459168048, 1459168048, 3]), [300, 0, 1000, 0], closed(Fin)),
        case("linger 0", recorded(1, CLIENT, 0, 784, 3, [701, 0, 700, 0, 4032134103, 4032134103, 4032134103, 3444354982, 3444354982, 3]), [700, 0, 0, 0], closed(ResetSent)),
        case("peer of linger 0", recorded(1, SERVER, 104, 768, 0, [0, 700, 0, 0, 3444354982, 3444354982, 3444354982, 4032134103, 4032134103, 1]), [0, 0, 700, 0], closed(ResetReceived)),
        case("unread data at close", recorded(1, SERVER, 0, 768, 3, [0, 400, 0, 0, 757572147, 757572147, 757572147, 2533217826, 2533217526, 1]), [0, 0, 400, 300], closed(ResetSent)),
        case("peer of unread data", recorded(1, CLIENT, 104, 768, 0, [401, 0, 400, 0, 2533217826, 2533217826, 2533217826, 757572147, 757572147, 3]), [400, 0, 0, 0], closed(ResetReceived)),
        case("server closes first, server", recorded(5, SERVER, 0, 771, 3, [11, 1, 10, 0, 3268597992, 3268597992, 3268597992, 3036687698, 3036687697, 3]), [10, 0, 0, 0], closed(Fin)),
        case("server closes first, client", recorded(9, CLIENT, 0, 771, 3, [2, 11, 0, 0, 3036687698, 3036687698, 3036687698, 3268597992, 3268597992, 4]), [0, 0, 10, 0], closed(Fin)),
        case("connect(AF_UNSPEC)", recorded(1, CLIENT, 0, 768, 0, [51, 0, 50, 0, 3901049933, 3901049933, 3901049933, 869477189, 869477189, 3]), [50, 0, 0, 0], closed(ResetSent)),
        case("connect(AF_UNSPEC) after the peer's FIN", recorded(8, CLIENT, 0, 770, 1, [21, 1, 20, 0, 3901115492, 3901115492, 3901115492, 3019953099, 3019953099, 4]), [20, 0, 0, 0], closed(ResetSent)),
        case("orphan whose FIN was acknowledged", recorded(5, SERVER, 0, 769, 3, [1, 20, 0, 0, 3019953099, 3019953099, 3019953099, 3901115492, 3901115492, 2]), [0, 0, 20, 0], closed(Fin)),
        case("refused", recorded(2, FAILED, 111, 768, 0, [0, 0, 0, 0, 2798822185, 2798822185, 2798822184, 0, 0, 1]), [0, 0, 0, 0], End::Failed(FailReason::Refused)),
        case("reset with data unsent, drops on output", recorded(1, CLIENT, 104, 768, 0, [127974, 0, 142848, 14875, 2361122634, 2357331140, 2357331140, 2448211919, 2448211919, 8]), [127973, 3791494, 0, 0], closed(ResetReceived)),
        case("a connect that never got a port, on a socket used before", recorded(2, FAILED, 99, 768, 0, [0, 0, 0, 0, 3901181031, 3901049933, 3901049900, 7, 3, 0]), [0, 0, 0, 0], End::Failed(FailReason::AddressUnavailable)),
        case("a simultaneous open that was refused its last step", recorded(3, FAILED, 104, 768, 0, [0, 0, 0, 0, 101, 101, 100, 0, 0, 2]), [0, 0, 0, 0], End::Failed(FailReason::Reset)),
    ]
}

/// Scenario: closes recorded on a real kernel, one for each way in which a connection can close, with the counts of the applications.
/// Guarantees: sent, unsent, received and unread bytes are those of the applications, byte for byte. The close reason is what happened.
#[test]
fn recorded_closes_give_the_applications_counts() {
    for Case { what, event, sent, unsent, received, unread, end } in cases() {
        let client = event.flags & flag::CLIENT != 0;
        let counts = Counts::of(&event, &event.counters, client);
        assert_eq!(
            (counts.sent, counts.unsent(), counts.received, counts.unread),
            (sent, unsent, received, unread),
            "{what}"
        );
        assert_eq!(counts.written, sent + unsent, "{what}");
        assert_eq!(outcome(&event, &counts, !client), end, "{what}");
    }
}

/// Scenario: the same closes, as if the open had not been observed.
/// Guarantees: the counters alone distinguish an active open from a passive one.
#[test]
fn the_counters_show_the_role() {
    for Case { what, event, .. } in cases().into_iter().filter(|case| matches!(case.end, End::Closed(_))) {
        assert_eq!(opened_actively(&event), Some(event.flags & flag::CLIENT != 0), "{what}");
    }
}

/// Scenario: a drop on output is counted in `bytes_sent` and not in `bytes_retrans`.
/// Guarantees: the role is unknown, not guessed.
#[test]
fn an_uncertain_role_is_not_guessed() {
    let mut event = cases().remove(0).event;
    event.counters.bytes_sent += 1448;
    assert_eq!(opened_actively(&event), None);
}

/// Scenario: all sequence numbers are about to wrap, or have wrapped, with data in flight and a FIN queued after it.
/// Guarantees: the counts are the same everywhere in the sequence space.
#[test]
fn sequence_numbers_wrap() {
    for start in [1000u32, u32::MAX, u32::MAX - 150, 0, 1 << 31] {
        let mut event = recorded(4, CLIENT, 0, 768, 3, [5_000_000_001, 7, 0, 0, 0, 0, 0, 0, 0, 9]);
        event.counters.snd_una = start;
        event.counters.snd_nxt = start.wrapping_add(100);
        event.counters.write_seq = start.wrapping_add(301);
        event.counters.rcv_nxt = start;
        event.counters.copied_seq = start.wrapping_sub(7);
        let counts = Counts::of(&event, &event.counters, true);
        let expected = Counts {
            written: 5_000_000_300,
            sent: 5_000_000_100,
            acked: 5_000_000_000,
            received: 7,
            unread: 7,
        };
        assert_eq!(counts, expected, "from {start}");
        assert_eq!((counts.unsent(), counts.in_flight()), (200, 100));
        event.counters.snd_nxt = event.counters.write_seq;
        assert_eq!(Counts::of(&event, &event.counters, true).sent, 5_000_000_300, "the FIN is no payload");
    }
}

/// Scenario: a sample is taken while an acknowledgement is processed: one of `bytes_acked` and `snd_una` is old.
/// Guarantees: if the base is known, the counts are those of the moment at which `snd_una` was read.
#[test]
fn a_torn_sample_is_repaired() {
    let whole = Counters {
        bytes_acked: 1001,
        snd_una: 5000,
        snd_nxt: 9000,
        write_seq: 9000,
        segs_out: 4,
        ..Counters::default()
    };
    let event = ConnectionEvent {
        kind: kind::SAMPLE,
        state: 1,
        flags: CLIENT,
        counters: whole,
        ..ConnectionEvent::default()
    };
    let base = base(&whole);
    let sent = Counts::of(&event, &whole, true).sent;
    assert_eq!(sent, 5000);
    for torn in [Counters { bytes_acked: 3001, ..whole }, Counters { snd_una: 7000, ..whole }] {
        assert_ne!(Counts::of(&event, &torn, true).sent, sent);
        assert_eq!(Counts::of(&event, &repaired(&torn, base), true).sent, sent);
    }
}
