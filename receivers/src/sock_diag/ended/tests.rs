use super::super::event;
use super::super::listening::ListeningSockets;
use super::super::wire::tests::{ENDED_CLIENT, RECEIVER_V4, decoded};
use super::*;

/// A connection's bytes, and what of SYN and FIN is in the kernel's counts.
#[derive(Clone, Copy, Debug)]
struct Life {
    is_client: bool,
    sent: u64,
    received: u64,
    fin_sent: bool,
    fin_received: bool,
    /// Bytes that the application did not read.
    unread: u32,
    /// Whether it read the end of the peer's bytes.
    has_read_end: bool,
    /// Bytes that the local stack refused when they were first sent.
    refused: u64,
}

const LIFE: Life = Life {
    is_client: true,
    sent: 5_000,
    received: 700,
    fin_sent: true,
    fin_received: true,
    unread: 0,
    has_read_end: true,
    refused: 0,
};

impl Life {
    fn ended(&self) -> DiagSocket {
        let mut socket = decoded(ENDED_CLIENT);
        let info = socket.info.as_mut().unwrap();
        info.bytes_acked = self.sent + u64::from(self.is_client) + u64::from(self.fin_sent);
        info.bytes_received = self.received + u64::from(self.fin_received);
        info.handed_down = Some((self.sent + self.refused, 0));
        info.data_segs_in = u32::from(self.received > 0);
        socket.unread = self.unread + u32::from(self.fin_received && !self.has_read_end);
        socket
    }

    /// Returns sent and received bytes as they are derived, and whether they are marked as uncertain.
    fn derived(&self, known: Option<&KnownConnection>, successor: Option<TcpState>) -> (i64, u64, bool) {
        let socket = self.ended();
        let context = EndedContext { known, has_listener: !self.is_client, successor };
        let close = close(&socket, &socket.info.unwrap(), &context, 1, 2);
        let c = &close.counters;
        let is_client = close.flags & flag::CLIENT != 0;
        let fin = matches!(TcpState::from_kernel(close.state), TcpState::FinWait2 | TcpState::LastAck);
        let sent = c.bytes_acked as i64 - i64::from(is_client) - i64::from(fin);
        let received = c.bytes_received - u64::from(close.sk_flags & SOCK_DONE != 0);
        (sent, received, close.flags & flag::UNCERTAIN != 0)
    }
}

/// *Scenario*: every combination of client or server, FIN sent, FIN received and read, and bytes in each direction, with and without a list
/// that had shown the connection, and with the small socket that the kernel would have.
/// *Guarantees*: sent bytes are exact. Received bytes are exact, or off by one and marked.
#[test]
fn what_is_not_marked_is_exact() {
    let mut marked = 0;
    for bits in 0..64u32 {
        let bit = |index: u32| bits >> index & 1 != 0;
        let life = Life {
            is_client: bit(0),
            fin_sent: bit(1),
            fin_received: bit(2),
            has_read_end: bit(2) && bit(3),
            sent: if bit(4) { 5_000 } else { 0 },
            received: if bit(5) { 700 } else { 0 },
            ..LIFE
        };
        let successors = match (life.fin_sent, life.fin_received) {
            (true, true) => vec![Some(TcpState::TimeWait), None],
            (true, false) => vec![Some(TcpState::FinWait2), Some(TcpState::TimeWait), None],
            (false, _) => vec![None],
        };
        for (successor, is_known) in
            successors.iter().flat_map(|successor| [(successor, false), (successor, true)])
        {
            let mut known = KnownConnection::default();
            known.set(if life.is_client { mark::CLIENT } else { mark::SERVER });
            let (sent, received, is_marked) = life.derived(is_known.then_some(&known), *successor);
            assert_eq!(sent, life.sent as i64, "{life:?} {successor:?}");
            let off = received.abs_diff(life.received);
            assert!(off == 0 || (off == 1 && is_marked), "{life:?} {successor:?}: {received}");
            marked += u32::from(is_marked);
        }
    }
    assert!(marked > 0);
}

/// *Scenario*: the local stack refused a segment, of a connection whose role is known from a list.
/// *Guarantees*: sent bytes are those that left, or off by one and marked.
#[test]
fn refused_segments_are_not_counted() {
    let mut known = KnownConnection::default();
    known.set(mark::CLIENT | mark::FIN_RECEIVED);
    for fin_sent in [false, true] {
        let life = Life { refused: 1_448, fin_sent, ..LIFE };
        let (sent, received, is_marked) = life.derived(Some(&known), None);
        assert!(sent.abs_diff(5_000) <= 1 && is_marked, "{sent}");
        assert_eq!(received, 700);
    }
}

/// *Scenario*: connects that failed: refused, without an answer after retransmissions, and closed by the application.
/// *Guarantees*: they are failures, with the likely errno.
#[test]
fn failures_have_a_likely_reason() {
    for (segs_in, total_retrans, errno) in [(1, 0, ECONNREFUSED), (0, 6, ETIMEDOUT), (0, 0, 0)] {
        let info = TcpInfo { segs_out: 1, segs_in, total_retrans, min_rtt: u32::MAX, ..TcpInfo::default() };
        let socket =
            DiagSocket { unacknowledged: 1, peer_port: 1, info: Some(info), ..decoded(ENDED_CLIENT) };
        let context = EndedContext { known: None, has_listener: false, successor: None };
        let close = close(&socket, &info, &context, 1, 2);
        assert_eq!((close.error, close.flags & flag::ESTABLISHED), (errno, 0));
    }
}

/// *Scenario*: a sample with bytes in flight and unsent bytes, whose queue was read before bytes were acknowledged, of a connection whose role
/// is unknown, of a client and of a server. Then one whose FIN was acknowledged after its state was read.
/// *Guarantees*: the sent bytes are `bytes_acked + unacknowledged - notsent_bytes`, less SYN and FIN, and never more than were passed to the IP
/// layer. Nothing unacknowledged is derived for a socket at rest.
#[test]
fn live_counts_do_not_exceed_what_was_passed_down() {
    let mut socket = decoded(RECEIVER_V4);
    let sent = |socket: &DiagSocket, role: u8| {
        let mut sample = event::sample(socket, 1, 2).unwrap();
        let mut known = KnownConnection::default();
        known.set(role);
        known.observe(&mut sample, socket, 1, &ListeningSockets::default());
        let c = &sample.counters;
        // The tracker subtracts a SYN while the role is unknown.
        let (syn, unsent) = (u64::from(role != mark::SERVER), c.write_seq.wrapping_sub(c.snd_nxt));
        (c.bytes_acked + u64::from(c.snd_nxt.wrapping_sub(c.snd_una)) - syn, unsent)
    };
    let info = socket.info.as_mut().unwrap();
    (info.unacked, info.bytes_acked, info.notsent_bytes, info.handed_down) =
        (2, 1_001, 400, Some((3_000, 0)));
    for unacknowledged in [2_400, 2_401, 2_900] {
        socket.unacknowledged = unacknowledged;
        for role in [0, mark::CLIENT, mark::SERVER] {
            assert_eq!(sent(&socket, role), (3_000, 400), "{unacknowledged} {role}");
        }
    }
    socket.unacknowledged = 2_000;
    assert_eq!((sent(&socket, mark::CLIENT), sent(&socket, mark::SERVER)), ((2_600, 400), (2_601, 400)));
    let info = socket.info.as_mut().unwrap();
    (info.unacked, info.bytes_acked, info.notsent_bytes) = (0, 3_001, 0);
    assert_eq!((sent(&socket, mark::CLIENT), sent(&socket, mark::SERVER)), ((3_000, 0), (3_000, 0)));
}
