//! Computes exact byte counts from the kernel's counters of one event.
//!
//! ```text
//! written   W = bytes_acked + (write_seq - snd_una) - syn - fin_queued     what the application wrote
//! sent      U = bytes_acked + (snd_nxt - snd_una) - syn - fin_sent         unique payload put on the wire
//! acked     A = bytes_acked - syn - fin_acked
//! received  R = bytes_received - fin_received                              payload delivered in order
//! ```
//!
//! Sequence numbers wrap at 2^32 and are less than 2^31 apart. Their differences are signed, because a sample is not atomic: it can contain
//! a later `snd_una` and an earlier `snd_nxt`. At CLOSE the counters are at rest and the counts are exact.

use longwave_ebpf_abi::{ConnectionEvent, Counters, flag, kind};
use longwave_pipeline::model::TcpState;

/// Bit of `sk_flags`: the peer's FIN was received.
const SOCK_DONE: u16 = 1 << 1;

/// Payload bytes of one connection since its open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes that the application wrote.
    pub written: u64,
    /// Bytes put on the wire, each counted once.
    pub sent: u64,
    /// Bytes that the peer acknowledged.
    pub acked: u64,
    /// Bytes received in order.
    pub received: u64,
    /// Bytes received that the application has not read.
    pub unread: u64,
}

/// Positions of SYN and FIN in the sequence space, which are no payload.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    syn: i64,
    fin_queued: bool,
    fin_sent: bool,
    fin_acked: bool,
}

// === impl Counts ===

impl Counts {
    /// Returns the counts of `event` as if its counters were `counters`. `syn`: the local end opened actively, with a SYN that was counted.
    pub fn of(event: &ConnectionEvent, counters: &Counters, syn: bool) -> Self {
        let c = counters;
        let received = c.bytes_received.saturating_sub(u64::from(fin_received(event)));
        let not_copied = distance(c.rcv_nxt, c.copied_seq);
        let unread = clamp(not_copied - i64::from(fin_received(event) && not_copied > 0));
        if !established(event) && c.segs_out == 0 {
            // The SYN was never sent: the sequence numbers are unset, or those of the socket's previous connection.
            return Self { received, unread: 0, ..Self::default() };
        }
        let s = Sequence::of(event, c, syn);
        let acked = c.bytes_acked as i64;
        Self {
            written: clamp(acked + distance(c.write_seq, c.snd_una) - s.syn - i64::from(s.fin_queued)),
            sent: clamp(acked + distance(c.snd_nxt, c.snd_una) - s.syn - i64::from(s.fin_sent)),
            acked: clamp(acked - s.syn - i64::from(s.fin_acked)),
            received,
            unread,
        }
    }

    /// Returns the bytes that were written and not sent.
    pub fn unsent(&self) -> u64 {
        self.written.saturating_sub(self.sent)
    }

    /// Returns the bytes that were sent and not acknowledged.
    pub fn in_flight(&self) -> u64 {
        self.sent.saturating_sub(self.acked)
    }
}

// === impl Sequence ===

impl Sequence {
    fn of(event: &ConnectionEvent, c: &Counters, syn: bool) -> Self {
        let fin_queued = matches!(
            TcpState::from_kernel(event.state),
            TcpState::FinWait1
                | TcpState::FinWait2
                | TcpState::Closing
                | TcpState::LastAck
                | TcpState::TimeWait
        );
        Self {
            syn: i64::from(syn),
            fin_queued,
            fin_sent: fin_queued && c.snd_nxt == c.write_seq,
            fin_acked: fin_queued && c.snd_una == c.write_seq,
        }
    }
}

/// Returns whether ESTABLISHED was reached: by the flag, or by a state that follows the handshake.
pub fn established(event: &ConnectionEvent) -> bool {
    let handshake = matches!(
        TcpState::from_kernel(event.state),
        TcpState::SynSent | TcpState::SynRecv | TcpState::NewSynRecv | TcpState::Unknown
    );
    event.flags & flag::ESTABLISHED != 0 || (event.kind != kind::OPEN && !handshake)
}

/// Returns whether the peer's FIN was received.
pub fn fin_received(event: &ConnectionEvent) -> bool {
    event.sk_flags & SOCK_DONE != 0
}

/// Returns whether the peer acknowledged everything that was written, and the FIN.
pub fn all_acked(c: &Counters) -> bool {
    c.snd_una == c.write_seq
}

/// Returns whether the local end opened actively; `None` if the counters do not show it.
///
/// The payload and SYN that advanced `snd_nxt`, less the payload handed to the IP layer, are 1 for an active open and 0 for a passive one.
/// Other values come from a torn sample or a drop on output.
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

/// Returns the difference of `snd_una` and `bytes_acked`, which is constant. The kernel changes one after the other. In a torn sample one
/// of them is newer than the other, so that it has another difference.
pub fn base(c: &Counters) -> u32 {
    c.snd_una.wrapping_sub(c.bytes_acked as u32)
}

/// Returns the counters with `bytes_acked` as it was when `snd_una` was read.
pub fn repaired(c: &Counters, base: u32) -> Counters {
    let error = c.snd_una.wrapping_sub(base).wrapping_sub(c.bytes_acked as u32) as i32;
    Counters { bytes_acked: c.bytes_acked.saturating_add_signed(i64::from(error)), ..*c }
}

/// Returns how far `a` is ahead of `b`.
fn distance(a: u32, b: u32) -> i64 {
    i64::from(a.wrapping_sub(b) as i32)
}

fn clamp(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

#[cfg(test)]
mod tests;
