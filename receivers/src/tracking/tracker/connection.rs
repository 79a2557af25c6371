//! [`Connection`]: what is stored of an open connection between two passes, and how an observation advances it.

use std::num::{NonZeroU32, NonZeroU64};

use longwave_ebpf_abi::{ConnectionEvent, Counters, flag, kind};
use longwave_pipeline::model::{
    CloseReason, End, Event, FailReason, Gauges, Role, RoundTrip, TcpState, Totals, UnixNanos,
};

use super::super::owner::Listeners;
use super::super::timeline::Timeline;
use super::counts::{self, Counts};
use super::limits::{self, LimitCounts, Rare};
use super::outcome::outcome;

/// The totals of the last delivered record, and what idle records repeat. What never changes is in [`super::identity`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Connection {
    sent_bytes: u64,
    received_bytes: u64,
    /// Low 32 bits of the segment counts. The kernel's counters have 32 bits and wrap.
    segments: [u32; SEGMENT_COUNTS],
    /// See [`counts::base`].
    base: u32,
    /// `snd_una` at the last delivered record.
    una: u32,
    /// Time from the open to ESTABLISHED, in microseconds if the bit [`MICROSECONDS`] is set, else in nanoseconds. 0 if unknown.
    connect_duration: u32,
    srtt_us: u32,
    mdev_us: u32,
    rtt_min_us: u32,
    unsent_bytes: u32,
    unread_bytes: u32,
    /// Low 32 bits of the times in which the connection was limited. What is above is in [`Rare`].
    jiffies: [u32; 3],
    rcv_rtt_us: u32,
    /// Bits 0 to 31 of the monotonic time of the last delivered record in microseconds; before it, of the open.
    reported: u32,
    /// Bits 32 to 47 of it.
    reported_high: u16,
    /// Index into the names of congestion controls.
    pub congestion: u8,
    /// Bits of [`late_mark`].
    late_marks: u8,
    /// Bits 32 to 47 of sent, received and data segments.
    high: [u16; 3],
    /// Number of the pass that sampled it last.
    pub last_pass: u16,
    mss: u16,
    cwnd: u16,
    /// Bits 32 to 39 of retransmitted and lost segments.
    higher: [u8; 2],
    /// The kernel's number of the state; 0 before the first observation.
    tcp_state: u8,
    /// Bits of [`mark`].
    marks: u8,
    /// See [`longwave_pipeline::model::ConnectionId::generation`].
    pub generation: u64,
}

const _: () = assert!(size_of::<Connection>() <= 120, "100,000 connections must fit into the memory limit");

const SEGMENT_COUNTS: usize = 5;

/// Index of the retransmitted segments in [`Connection::segments`].
const RETRANSMITS: usize = 3;

/// Bit of [`Connection::connect_duration`] that gives the unit of the other bits.
const MICROSECONDS: u32 = 1 << 31;

/// Bits of [`Connection::marks`].
mod mark {
    /// The local end is the client.
    pub const CLIENT: u8 = 1 << 0;
    /// The local end is the server.
    pub const SERVER: u8 = 1 << 1;
    /// The open was observed.
    pub const START_KNOWN: u8 = 1 << 2;
    /// The socket is an IPv6 socket.
    pub const IPV6: u8 = 1 << 3;
    /// Counts are those of the wire, not of the application.
    pub const INEXACT: u8 = 1 << 4;
    /// The base was read at rest, or two samples agree on it.
    pub const BASE_CONFIRMED: u8 = 1 << 5;
    /// A record was delivered.
    pub const REPORTED: u8 = 1 << 6;
    /// A SYN of this end was counted as a byte.
    pub const SYN: u8 = 1 << 7;
}

/// Bits of [`Connection::late_marks`].
mod late_mark {
    /// The connection has an entry in [`RareMap`](super::limits::RareMap).
    pub const RARE: u8 = 1 << 0;
    /// The peer's receive window was full at the last observation.
    pub const ZERO_WINDOW: u8 = 1 << 1;
}

/// What is known of a connection at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// What the record reports. A close becomes [`Event::Fail`] if ESTABLISHED was not reached.
    pub event: Event,
    /// The kernel's counters; `None` if nothing newer than the last sample is known.
    pub counters: Option<&'a ConnectionEvent>,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub observed_ns: u64,
    /// The same moment on the wall clock.
    pub observed: UnixNanos,
    /// End of the window that the record belongs to.
    pub tick: UnixNanos,
}

/// Values from which deltas are computed.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub totals: Totals,
    pub limits: LimitCounts,
    /// Slow start threshold: a gauge, which is stored with the counts.
    pub ssthresh: Option<NonZeroU32>,
    /// Monotonic time of the record, microseconds.
    pub at: u64,
    /// `snd_una`: grows when the peer acknowledges bytes.
    pub una: u32,
}

/// One observation compared with the last delivered record.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub event: Event,
    pub end: Option<End>,
    /// Whether no record of the connection was delivered before.
    pub first: bool,
    pub acked: bool,
    pub before: Progress,
    pub after: Progress,
    pub delta: Totals,
    /// Bytes of delivered records that the final count does not confirm.
    pub overcounted_bytes: u64,
    pub limits_delta: LimitCounts,
    /// Time since the last delivered record, or since the open, in microseconds; 0 for a failed connect.
    pub elapsed: u64,
    /// `None` if the observation has no counters.
    pub gauges: Option<Gauges>,
    /// Pacing rate in bytes per second; `None` if it was not read, or is not limited.
    pub pacing_rate: Option<NonZeroU64>,
}

// === impl Observation ===

impl<'a> Observation<'a> {
    /// Converts an event of the kernel.
    pub fn of(event: &'a ConnectionEvent, tick: UnixNanos, timeline: &Timeline) -> Self {
        let (reported, counters) = match event.kind {
            kind::OPEN => (Event::Open, Some(event)),
            kind::CLOSE if event.flags & flag::UNCERTAIN != 0 && event.tuple.peer_port == 0 => {
                (Event::Close, None)
            }
            kind::CLOSE => (Event::Close, Some(event)),
            kind::VANISHED => (Event::Vanished, None),
            _ => (Event::Update, Some(event)),
        };
        Self { counters, ..Self::without_counters(reported, event.observed_ns, tick, timeline) }
    }

    /// Returns the observation of a moment for which the kernel reported no counters.
    pub fn without_counters(event: Event, observed_ns: u64, tick: UnixNanos, timeline: &Timeline) -> Self {
        Self { event, counters: None, observed_ns, observed: timeline.epoch(observed_ns), tick }
    }
}

// === impl Connection ===

impl Connection {
    /// Creates a connection from its first event. All totals are 0 until [`Self::deliver`].
    pub fn new(event: &ConnectionEvent, listeners: &Listeners) -> Self {
        let base = counts::base(&event.counters);
        let mut connection =
            Self { generation: event.generation, base, una: base, rtt_min_us: u32::MAX, ..Self::default() };
        connection.set_reported(
            if event.flags & flag::START_KNOWN != 0 { event.generation } else { event.observed_ns } / 1_000,
        );
        connection.set(mark::CLIENT, event.flags & flag::CLIENT != 0);
        connection.set(mark::SERVER, event.flags & flag::SERVER != 0);
        connection.set(mark::START_KNOWN, event.flags & flag::START_KNOWN != 0);
        connection.set(mark::IPV6, event.tuple.family == libc::AF_INET6 as u16);
        connection.update_marks(event);
        if connection.role() == Role::Unknown {
            connection.derive_role(event, listeners);
        }
        connection
    }

    /// Applies an observation and compares it with the last delivered record. `pending` is what was observed since then and not delivered.
    /// The totals stay as they are until [`Self::deliver`]. `rare` is what is stored beside the connection.
    #[inline(always)]
    pub fn advance(
        &mut self,
        observation: &Observation<'_>,
        pending: Option<Progress>,
        rare: &Rare,
        listeners: &Listeners,
    ) -> Step {
        // A sample that overtook the open is newer than it.
        let is_overtaken = observation.event == Event::Open && self.tcp_state != 0;
        let measured = observation.counters.filter(|_| !is_overtaken).map(|event| {
            self.update_marks(event);
            if self.role() == Role::Unknown {
                self.derive_role(event, listeners);
            }
            (event, self.measure(event))
        });
        let before = self.progress(rare);
        let mut step = Step {
            event: observation.event,
            end: match observation.event {
                Event::Vanished => Some(End::Closed(CloseReason::Vanished)),
                Event::Close if measured.is_none() => {
                    self.set(mark::INEXACT, true);
                    Some(self.end_without_counters())
                }
                _ => None,
            },
            first: !self.is(mark::REPORTED),
            acked: false,
            before,
            after: pending.unwrap_or(before),
            delta: Totals::default(),
            overcounted_bytes: 0,
            limits_delta: LimitCounts::default(),
            elapsed: 0,
            gauges: None,
            pacing_rate: None,
        };
        step.after.at = before.at.max(observation.observed_ns / 1_000);
        if matches!(step.end, Some(End::Failed(_))) {
            step.event = Event::Fail;
        }
        let mut acked_bytes = None;
        if let Some((event, (counts, sent_bytes))) = measured {
            step.after.advance(event, sent_bytes, counts.received);
            step.pacing_rate = limits::pacing_rate(&event.limits);
            step.gauges = Some(gauges(&event.counters, &counts));
            acked_bytes = Some(counts.acked).filter(|_| step.first);
            if observation.event == Event::Close {
                self.set_final(&mut step, event, &counts);
                let end = outcome(event, &counts, self.is(mark::SERVER));
                step.end = Some(end);
                step.event = if matches!(end, End::Failed(_)) { Event::Fail } else { Event::Close };
            }
        }
        // The first record of a seeded connection is its baseline. A connection whose open is reported is new, even if its time is not known.
        // A failure has no open: what it cost is in no other record.
        let is_counted = matches!(step.event, Event::Open | Event::Fail);
        let is_baseline = step.first && !self.is(mark::START_KNOWN) && !is_counted;
        if !is_baseline {
            step.delta = difference(&step.after.totals, &before.totals);
            step.limits_delta = step.after.limits.since(&before.limits);
            // A failed connect was never connected.
            step.elapsed = if step.event == Event::Fail { 0 } else { step.after.at - before.at };
            step.acked = matches!(observation.event, Event::Update | Event::Close)
                && acked_bytes.map_or(is_ahead(step.after.una, before.una), |bytes| bytes > 0);
        }
        step
    }

    /// Sets the totals of a last step. The counters are at rest, so that these counts are final, even if a torn sample that was not
    /// delivered was above them. What was delivered is not taken back: it is one of the possible counts, or the record is marked.
    fn set_final(&mut self, step: &mut Step, event: &ConnectionEvent, counts: &Counts) {
        let (delivered, totals) = (&step.before.totals, &mut step.after.totals);
        totals.sent_bytes = counts.sent.max(delivered.sent_bytes);
        totals.received_bytes = counts.received.max(delivered.received_bytes);
        let above = (totals.sent_bytes - counts.sent) + (totals.received_bytes - counts.received);
        if above > 0 && event.flags & flag::UNCERTAIN == 0 {
            self.set(mark::INEXACT, true);
            step.overcounted_bytes = above;
        }
    }

    /// Stores that the record of `step` is sent. The next delta starts from it. Returns what to store beside the connection.
    #[must_use]
    pub fn deliver(&mut self, step: &Step) -> Rare {
        self.set(mark::REPORTED, true);
        self.set_progress(&step.after)
    }

    /// Restores what was stored before a step whose record was refused. The next delta starts from `before`, as that of the refused record
    /// did.
    #[must_use]
    pub fn undo(&mut self, before: &Progress, first: bool) -> Rare {
        self.set(mark::REPORTED, !first);
        self.set_progress(before)
    }

    /// Returns the totals and `snd_una` of the last delivered record. `rare` is what is stored beside the connection.
    pub fn progress(&self, rare: &Rare) -> Progress {
        let wide = |low: u32, high: u64| u64::from(low) | high << 32;
        let [sent, received, data, retransmits, lost] = self.segments;
        let [sent_high, received_high, data_high] = self.high.map(u64::from);
        let [retransmits_high, lost_high] = self.higher.map(u64::from);
        let totals = Totals {
            sent_bytes: self.sent_bytes,
            received_bytes: self.received_bytes,
            sent_segments: wide(sent, sent_high),
            received_segments: wide(received, received_high),
            data_segments: wide(data, data_high),
            retransmits: wide(retransmits, retransmits_high),
            lost: wide(lost, lost_high),
        };
        let at = u64::from(self.reported) | u64::from(self.reported_high) << 32;
        Progress { totals, limits: rare.counts(self.jiffies), ssthresh: rare.ssthresh, at, una: self.una }
    }

    fn set_progress(&mut self, progress: &Progress) -> Rare {
        let t = &progress.totals;
        self.una = progress.una;
        self.sent_bytes = t.sent_bytes;
        self.received_bytes = t.received_bytes;
        let counts = [t.sent_segments, t.received_segments, t.data_segments, t.retransmits, t.lost];
        self.segments = counts.map(|count| count as u32);
        self.high = [counts[0], counts[1], counts[2]].map(|count| (count >> 32) as u16);
        self.higher = [counts[3], counts[4]].map(|count| (count >> 32) as u8);
        self.set_reported(progress.at);
        self.jiffies = progress.limits.jiffies.map(|jiffies| jiffies as u32);
        Rare::of(&progress.limits, progress.ssthresh)
    }

    fn set_reported(&mut self, micros: u64) {
        (self.reported, self.reported_high) = (micros as u32, (micros >> 32) as u16);
    }

    /// Returns whether something is stored beside the connection.
    pub fn has_rare(&self) -> bool {
        self.late_marks & late_mark::RARE != 0
    }

    /// Sets whether something is stored beside the connection.
    pub fn set_has_rare(&mut self, on: bool) {
        self.set_late(late_mark::RARE, on);
    }

    /// Returns whether the connection was observed, so that its counts are those of the kernel.
    pub fn is_measured(&self) -> bool {
        self.tcp_state != 0
    }

    /// Returns whether the peer's receive window was full at the last observation.
    pub fn has_zero_window(&self) -> bool {
        self.late_marks & late_mark::ZERO_WINDOW != 0
    }

    pub fn role(&self) -> Role {
        match self.marks & (mark::CLIENT | mark::SERVER) {
            0 => Role::Unknown,
            mark::SERVER => Role::Server,
            _ => Role::Client,
        }
    }

    pub fn start_known(&self) -> bool {
        self.is(mark::START_KNOWN)
    }

    pub fn is_exact(&self) -> bool {
        !self.is(mark::INEXACT)
    }

    pub fn is_ipv6_socket(&self) -> bool {
        self.is(mark::IPV6)
    }

    /// Returns the state at the last observation.
    pub fn tcp_state(&self) -> TcpState {
        TcpState::from_kernel(self.tcp_state)
    }

    /// Returns nanoseconds from the open to ESTABLISHED; above two seconds, a multiple of 1,000.
    pub fn connect_duration(&self) -> Option<NonZeroU64> {
        let value = u64::from(self.connect_duration & !MICROSECONDS);
        NonZeroU64::new(if self.connect_duration & MICROSECONDS != 0 { value * 1_000 } else { value })
    }

    /// Returns the round trip at the last observation. The minimum is that of the connection's life.
    pub fn round_trip(&self) -> RoundTrip {
        let nanos = |value: u32, unit: u64| NonZeroU64::new(u64::from(value) * unit);
        RoundTrip {
            // The kernel stores them shifted left by 3 and by 2.
            smoothed: nanos(self.srtt_us, 125),
            variance: if self.srtt_us == 0 { None } else { nanos(self.mdev_us, 250) },
            minimum: if self.rtt_min_us == u32::MAX { None } else { nanos(self.rtt_min_us, 1_000) },
            receiver: nanos(self.rcv_rtt_us, 125),
        }
    }

    /// Returns the gauges at the last observation. The delivery rate is 0; a congestion window above 65,535 is returned as 65,535.
    pub fn gauges(&self) -> Gauges {
        let syn = u32::from(self.may_have_sent_syn());
        let in_flight =
            self.base.wrapping_add(syn).wrapping_add(self.sent_bytes as u32).wrapping_sub(self.una) as i32;
        Gauges {
            unsent_bytes: self.unsent_bytes.into(),
            unread_bytes: self.unread_bytes.into(),
            in_flight_bytes: u64::try_from(in_flight).unwrap_or(0),
            delivery_rate: 0,
            cwnd: self.cwnd.into(),
            mss: self.mss.into(),
        }
    }

    fn is(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    fn set_late(&mut self, mark: u8, on: bool) {
        if on { self.late_marks |= mark } else { self.late_marks &= !mark }
    }

    fn set(&mut self, mark: u8, on: bool) {
        if on { self.marks |= mark } else { self.marks &= !mark }
    }

    /// Returns how a connection ended whose counters the kernel had reset. It does that on behalf of the application: for a reset (linger 0),
    /// for connect(AF_UNSPEC), and when a blocking connect fails.
    fn end_without_counters(&self) -> End {
        match self.tcp_state() {
            TcpState::SynSent if self.segments[RETRANSMITS] > 0 => End::Failed(FailReason::Timeout),
            TcpState::SynSent => End::Failed(FailReason::Cancelled),
            _ => End::Closed(CloseReason::ResetSent),
        }
    }

    /// Stores whether the counts are inexact, whether a SYN was sent, and how long the connect took. All can become known after the first
    /// event.
    fn update_marks(&mut self, event: &ConnectionEvent) {
        if event.flags & flag::CLIENT != 0 {
            self.set(mark::SYN, event.flags & flag::NO_SYN == 0);
        }
        if event.flags & (flag::ULP | flag::MPTCP | flag::REDIRECTED | flag::UNCERTAIN) != 0 {
            self.set(mark::INEXACT, true);
        }
        // An accepted socket is created after its handshake, so only a client has a duration.
        if event.flags & flag::CLIENT != 0 && event.connect_ns != 0 {
            let nanos = event.connect_ns;
            self.connect_duration = match u32::try_from(nanos) {
                Ok(nanos) if nanos < MICROSECONDS => nanos,
                _ => u32::try_from(nanos / 1_000).unwrap_or(u32::MAX).min(MICROSECONDS - 1) | MICROSECONDS,
            };
        }
    }

    /// Returns whether a SYN is subtracted from live counts. It is while the role is unknown: a total can increase by one later, but not
    /// decrease.
    fn may_have_sent_syn(&self) -> bool {
        self.is(mark::SYN) || self.role() == Role::Unknown
    }

    /// Derives the role of a seeded connection from its counters, or from a listener on its local end.
    #[cold]
    fn derive_role(&mut self, event: &ConnectionEvent, listeners: &Listeners) {
        let has_counters = match event.kind {
            kind::SAMPLE => true,
            kind::CLOSE => counts::established(event),
            _ => false,
        };
        if !has_counters {
            return;
        }
        match counts::opened_actively(event) {
            Some(true) => self.set(mark::CLIENT | mark::SYN, true),
            Some(false) => self.set(mark::SERVER, true),
            None => self.set(mark::SERVER, listeners.has(event.owner.netns, &event.tuple)),
        }
    }

    /// Stores what idle records repeat. Returns the counts, and how many sent bytes are certain. A live total must not exceed the final
    /// one.
    fn measure(&mut self, event: &ConnectionEvent) -> (Counts, u64) {
        let c = &event.counters;
        let base = counts::base(c);
        if event.kind != kind::SAMPLE || event.flags & flag::HEARTBEAT != 0 {
            // Nothing moves during a transition, or while an idle socket is read.
            self.base = base;
            self.set(mark::BASE_CONFIRMED, true);
        } else if base == self.base {
            // The sample that this connection was created from does not confirm itself.
            let is_confirmed = self.is(mark::REPORTED) || self.is(mark::BASE_CONFIRMED);
            self.set(mark::BASE_CONFIRMED, is_confirmed);
        } else if !self.is(mark::BASE_CONFIRMED) && is_ahead(base, self.base) {
            // One of the two samples is torn. The base that is ahead gives the smaller count.
            self.base = base;
        }
        let syn = if event.kind == kind::CLOSE { self.is(mark::SYN) } else { self.may_have_sent_syn() };
        let counts = Counts::of(event, &counts::repaired(c, self.base), syn);
        let certain = if self.is(mark::BASE_CONFIRMED) {
            counts.sent
        } else {
            // Each of these is a single counter, which cannot be torn.
            counts.sent.min(if c.bytes_retrans == 0 { c.bytes_sent.max(counts.acked) } else { counts.acked })
        };
        self.tcp_state = event.state;
        self.srtt_us = c.srtt_us;
        self.mdev_us = c.mdev_us;
        if event.flags & flag::LIMITS != 0 {
            self.rcv_rtt_us = event.limits.rcv_rtt_us;
            self.set_late(late_mark::ZERO_WINDOW, event.limits.snd_wnd == 0 && counts::established(event));
        }
        self.rtt_min_us = self.rtt_min_us.min(c.rtt_min_us).min(c.rtt_min_lifetime_us);
        self.unsent_bytes = u32::try_from(counts.unsent()).unwrap_or(u32::MAX);
        self.unread_bytes = u32::try_from(counts.unread).unwrap_or(u32::MAX);
        self.cwnd = u16::try_from(c.snd_cwnd).unwrap_or(u16::MAX);
        self.mss = u16::try_from(c.mss_cache).unwrap_or(u16::MAX);
        (counts, certain)
    }
}

// === impl Progress ===

impl Progress {
    /// Advances the totals to the counters of an event. No count decreases: a smaller one comes from an older or torn observation.
    fn advance(&mut self, event: &ConnectionEvent, sent_bytes: u64, received_bytes: u64) {
        let c = &event.counters;
        let t = &mut self.totals;
        t.sent_bytes = t.sent_bytes.max(sent_bytes);
        t.received_bytes = t.received_bytes.max(received_bytes);
        t.sent_segments = extend(t.sent_segments, c.segs_out);
        t.received_segments = extend(t.received_segments, c.segs_in);
        t.data_segments = extend(t.data_segments, c.data_segs_out);
        t.retransmits = extend(t.retransmits, c.total_retrans);
        t.lost = extend(t.lost, c.lost);
        if event.flags & flag::LIMITS != 0 {
            self.limits.advance(&event.limits);
            self.ssthresh = limits::ssthresh(&event.limits);
        }
        self.una = c.snd_una;
    }
}

// === impl Step ===

impl Step {
    pub fn has_moved(&self) -> bool {
        self.before.totals != self.after.totals || self.before.limits != self.after.limits
    }
}

/// Continues a 64-bit count with a counter that wraps at 2^32. A smaller counter comes from an older observation and adds
/// nothing.
pub fn extend(last: u64, counter: u32) -> u64 {
    let ahead = counter.wrapping_sub(last as u32) as i32;
    last + u64::try_from(ahead).unwrap_or(0)
}

fn is_ahead(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 > 0
}

fn difference(after: &Totals, before: &Totals) -> Totals {
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

fn gauges(c: &Counters, counts: &Counts) -> Gauges {
    let delivered = u128::from(c.rate_delivered) * u128::from(c.mss_cache) * 1_000_000;
    let delivery_rate = delivered.checked_div(c.rate_interval_us.into()).unwrap_or(0);
    Gauges {
        unsent_bytes: counts.unsent(),
        unread_bytes: counts.unread,
        in_flight_bytes: counts.in_flight(),
        delivery_rate: u64::try_from(delivery_rate).unwrap_or(u64::MAX),
        cwnd: c.snd_cwnd,
        mss: c.mss_cache,
    }
}
