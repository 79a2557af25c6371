//! Exact byte counts from the kernel's counters: pure functions over one event.
//!
//! ```text
//! written   W = bytes_acked + (write_seq - snd_una) - syn - fin_queued     what the application wrote
//! sent      U = bytes_acked + (snd_nxt - snd_una) - syn - fin_sent         unique payload put on the wire
//! acked     A = bytes_acked - syn - fin_acked
//! received  R = bytes_received - fin_received                              payload delivered in order
//! ```
//!
//! Sequence numbers wrap at 2^32 and are less than 2^31 apart, so differences are signed: a sample is not atomic, and a
//! later `snd_una` can meet an earlier `snd_nxt`. At CLOSE the counters are at rest and the counts exact.

use longwave_ebpf_abi::{ConnectionEvent, Counters, flag, kind};
use longwave_pipeline::record::TcpState;

/// Bit 1 of `sk_flags`: the peer's FIN was received.
const SOCK_DONE: u16 = 1 << 1;

/// Payload bytes of one connection since its open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Written by the application.
    pub written: u64,
    /// Put on the wire, each byte once.
    pub sent: u64,
    /// Acknowledged by the peer.
    pub acked: u64,
    /// Received in order.
    pub received: u64,
    /// Received and not read.
    pub unread: u64,
}

/// What the counters alone do not tell.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    syn: i64,
    fin_queued: bool,
    fin_sent: bool,
    fin_acked: bool,
}

// === impl Counts ===

impl Counts {
    /// The counts of `event` if its counters were `counters`. `client`: the local end opened actively.
    pub fn of(event: &ConnectionEvent, counters: &Counters, client: bool) -> Self {
        let c = counters;
        let received = c.bytes_received.saturating_sub(u64::from(fin_received(event)));
        let behind = distance(c.rcv_nxt, c.copied_seq);
        let unread = clamp(behind - i64::from(fin_received(event) && behind > 0));
        if !established(event) && c.segs_out == 0 {
            // The SYN never left: the sequence numbers are unset, or the previous connection's.
            return Self { received, unread: 0, ..Self::default() };
        }
        let s = Sequence::of(event, c, client);
        let acked = c.bytes_acked as i64;
        Self {
            written: clamp(acked + distance(c.write_seq, c.snd_una) - s.syn - i64::from(s.fin_queued)),
            sent: clamp(acked + distance(c.snd_nxt, c.snd_una) - s.syn - i64::from(s.fin_sent)),
            acked: clamp(acked - s.syn - i64::from(s.fin_acked)),
            received,
            unread,
        }
    }

    /// Written and not sent.
    pub fn unsent(&self) -> u64 {
        self.written.saturating_sub(self.sent)
    }

    /// Sent and not acknowledged.
    pub fn in_flight(&self) -> u64 {
        self.sent.saturating_sub(self.acked)
    }
}

// === impl Sequence ===

impl Sequence {
    fn of(event: &ConnectionEvent, c: &Counters, client: bool) -> Self {
        let fin_queued = matches!(
            TcpState::from_kernel(event.state),
            TcpState::FinWait1
                | TcpState::FinWait2
                | TcpState::Closing
                | TcpState::LastAck
                | TcpState::TimeWait
        );
        Self {
            syn: i64::from(client),
            fin_queued,
            fin_sent: fin_queued && c.snd_nxt == c.write_seq,
            fin_acked: fin_queued && c.snd_una == c.write_seq,
        }
    }
}

/// Whether ESTABLISHED was reached: by the flag, or because the state lies beyond the handshake.
pub fn established(event: &ConnectionEvent) -> bool {
    let handshake = matches!(
        TcpState::from_kernel(event.state),
        TcpState::SynSent | TcpState::SynRecv | TcpState::NewSynRecv | TcpState::Unknown
    );
    event.flags & flag::ESTABLISHED != 0 || (event.kind != kind::OPEN && !handshake)
}

/// The peer's FIN was received.
pub fn fin_received(event: &ConnectionEvent) -> bool {
    event.sk_flags & SOCK_DONE != 0
}

/// Everything that was written, and the FIN, was acknowledged.
pub fn all_acked(c: &Counters) -> bool {
    c.snd_una == c.write_seq
}

/// `Some(true)`: the local end opened actively; `Some(false)`: passively. Payload and SYN that advanced `snd_nxt`, less the payload
/// handed to the IP layer, is 1 for an active open and 0 for a passive one; anything else is a torn sample or a drop on output.
pub fn opened_actively(event: &ConnectionEvent) -> Option<bool> {
    let c = &event.counters;
    let s = Sequence::of(event, c, false);
    let advanced = c.bytes_acked as i64 + distance(c.snd_nxt, c.snd_una) - i64::from(s.fin_sent);
    let handed_down = c.bytes_sent as i64 - c.bytes_retrans as i64;
    match advanced - handed_down {
        1 => Some(true),
        0 => Some(false),
        _ => None,
    }
}

/// The constant that ties `snd_una` to `bytes_acked`. The kernel moves one after the other, so a sample can tear them apart.
pub fn base(c: &Counters) -> u32 {
    c.snd_una.wrapping_sub(c.bytes_acked as u32)
}

/// The counters with `bytes_acked` as it was when `snd_una` was read.
pub fn mended(c: &Counters, base: u32) -> Counters {
    let error = c.snd_una.wrapping_sub(base).wrapping_sub(c.bytes_acked as u32) as i32;
    Counters { bytes_acked: c.bytes_acked.saturating_add_signed(i64::from(error)), ..*c }
}

/// How far `a` is ahead of `b`.
fn distance(a: u32, b: u32) -> i64 {
    i64::from(a.wrapping_sub(b) as i32)
}

fn clamp(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

#[cfg(test)]
mod tests;
