//! [`State`]: what user space remembers of an open connection between two passes.

use std::num::NonZeroU64;

use longwave_ebpf_abi::Counters;
use longwave_pipeline::model::{Gauges, RoundTrip, TcpState, Totals, UnixNanos};

/// One open connection: the totals of the last delivered record, and what its idle records show. Endpoints and owner are in
/// [`super::identity`], the key (cookie) and the generation beside it in the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    opened: u64,
    sent: u64,
    received: u64,
    /// Low 32 bits of the segment counts: the kernel's counters are these, and wrap.
    segments: [u32; SEGMENTS],
    /// [`super::counts::base`], once known.
    pub base: u32,
    /// `snd_una` at the last delivered record.
    pub una: u32,
    connect: u32,
    srtt_us: u32,
    mdev_us: u32,
    rtt_min_us: u32,
    unsent: u32,
    unread: u32,
    /// Index into the identities.
    pub identity: u32,
    /// Bits 32 to 47 of sent, received and data segments.
    high: [u16; 3],
    /// The pass of the last sample.
    pub seen: u16,
    mss: u16,
    cwnd: u16,
    /// Bits 32 to 39 of retransmitted and lost segments.
    higher: [u8; 2],
    tcp_state: u8,
    /// Bits of [`mark`].
    pub marks: u8,
}

const _: () = assert!(size_of::<State>() <= 96, "100,000 connections have to fit");

const SEGMENTS: usize = 5;

/// Bits of [`State::marks`].
pub mod mark {
    /// The local end is the client.
    pub const CLIENT: u8 = 1 << 0;
    /// The local end is the server.
    pub const SERVER: u8 = 1 << 1;
    /// The open was seen.
    pub const START_KNOWN: u8 = 1 << 2;
    /// The socket is an IPv6 socket.
    pub const IPV6: u8 = 1 << 3;
    /// Counts are the wire's, not the application's.
    pub const INEXACT: u8 = 1 << 4;
    /// Two samples agree on the base.
    pub const BASE_SURE: u8 = 1 << 5;
    /// A record was delivered.
    pub const REPORTED: u8 = 1 << 6;
}

/// The bit that tells microseconds from nanoseconds in [`State::connect`].
const MICROSECONDS: u32 = 1 << 31;

// === impl State ===

impl State {
    /// Nothing counted yet.
    pub fn new(identity: u32, opened: UnixNanos, marks: u8, base: u32) -> Self {
        Self {
            opened: opened.0,
            sent: 0,
            received: 0,
            segments: [0; SEGMENTS],
            base,
            una: base,
            connect: 0,
            srtt_us: 0,
            mdev_us: 0,
            rtt_min_us: u32::MAX,
            unsent: 0,
            unread: 0,
            identity,
            high: [0; 3],
            seen: 0,
            mss: 0,
            cwnd: 0,
            higher: [0; 2],
            tcp_state: 0,
            marks,
        }
    }

    /// Whether all of these bits of [`mark`] are set.
    pub fn is(&self, marks: u8) -> bool {
        self.marks & marks == marks
    }

    /// Sets or clears bits of [`mark`].
    pub fn set(&mut self, marks: u8, on: bool) {
        if on { self.marks |= marks } else { self.marks &= !marks }
    }

    /// When the open began.
    pub fn opened(&self) -> UnixNanos {
        UnixNanos(self.opened)
    }

    /// Totals of the last delivered record.
    pub fn totals(&self) -> Totals {
        let wide = |low: u32, high: u64| u64::from(low) | high << 32;
        let [sent, received, data, retransmits, lost] = self.segments;
        let [sent_high, received_high, data_high] = self.high.map(u64::from);
        let [retransmits_high, lost_high] = self.higher.map(u64::from);
        Totals {
            sent_bytes: self.sent,
            received_bytes: self.received,
            sent_segments: wide(sent, sent_high),
            received_segments: wide(received, received_high),
            data_segments: wide(data, data_high),
            retransmits: wide(retransmits, retransmits_high),
            lost: wide(lost, lost_high),
        }
    }

    /// Sets them.
    pub fn set_totals(&mut self, totals: &Totals) {
        let t = totals;
        self.sent = t.sent_bytes;
        self.received = t.received_bytes;
        let counts = [t.sent_segments, t.received_segments, t.data_segments, t.retransmits, t.lost];
        self.segments = counts.map(|count| count as u32);
        self.high = [counts[0], counts[1], counts[2]].map(|count| (count >> 32) as u16);
        self.higher = [counts[3], counts[4]].map(|count| (count >> 32) as u8);
    }

    /// From the open to ESTABLISHED; above two seconds in whole microseconds.
    pub fn connect_duration(&self) -> Option<NonZeroU64> {
        let value = u64::from(self.connect & !MICROSECONDS);
        NonZeroU64::new(if self.connect & MICROSECONDS != 0 { value * 1_000 } else { value })
    }

    /// Sets it; 0: not seen.
    pub fn set_connect_duration(&mut self, nanos: u64) {
        self.connect = match u32::try_from(nanos) {
            Ok(nanos) if nanos < MICROSECONDS => nanos,
            _ => u32::try_from(nanos / 1_000).unwrap_or(u32::MAX).min(MICROSECONDS - 1) | MICROSECONDS,
        };
    }

    /// What idle records repeat.
    pub fn observe(&mut self, tcp_state: u8, counters: &Counters, unsent: u64, unread: u64) {
        self.tcp_state = tcp_state;
        self.srtt_us = counters.srtt_us;
        self.mdev_us = counters.mdev_us;
        self.rtt_min_us = self.rtt_min_us.min(counters.rtt_min_us).min(counters.rtt_min_lifetime_us);
        self.unsent = u32::try_from(unsent).unwrap_or(u32::MAX);
        self.unread = u32::try_from(unread).unwrap_or(u32::MAX);
        self.cwnd = u16::try_from(counters.snd_cwnd).unwrap_or(u16::MAX);
        self.mss = u16::try_from(counters.mss_cache).unwrap_or(u16::MAX);
    }

    /// The state at the last sample.
    pub fn tcp_state(&self) -> TcpState {
        TcpState::from_kernel(self.tcp_state)
    }

    /// Round trip at the last sample; the minimum is the lifetime's.
    pub fn round_trip(&self) -> RoundTrip {
        let nanos = |value: u32, unit: u64| NonZeroU64::new(u64::from(value) * unit);
        RoundTrip {
            // Stored shifted left by 3 and by 2.
            smoothed: nanos(self.srtt_us, 125),
            variance: if self.srtt_us == 0 { None } else { nanos(self.mdev_us, 250) },
            minimum: if self.rtt_min_us == u32::MAX { None } else { nanos(self.rtt_min_us, 1_000) },
        }
    }

    /// Gauges at the last sample. An idle connection has no delivery rate; a congestion window above 65,535 shows as that.
    pub fn gauges(&self) -> Gauges {
        let syn = u32::from(self.is(mark::CLIENT));
        let in_flight =
            self.base.wrapping_add(syn).wrapping_add(self.sent as u32).wrapping_sub(self.una) as i32;
        Gauges {
            unsent_bytes: self.unsent.into(),
            unread_bytes: self.unread.into(),
            in_flight_bytes: u64::try_from(in_flight).unwrap_or(0),
            delivery_rate: 0,
            cwnd: self.cwnd.into(),
            mss: self.mss.into(),
        }
    }
}

/// A counter that wraps at 2^32, continued from `last`. A value behind `last` is an older observation: none of it is new.
pub fn extend(last: u64, counter: u32) -> u64 {
    let ahead = counter.wrapping_sub(last as u32) as i32;
    last + u64::try_from(ahead).unwrap_or(0)
}
