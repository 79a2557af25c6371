//! A sink that refuses on demand, and a simulated socket.

use longwave_ebpf_abi::{ConnectionEvent, Counters, LAYOUT_VERSION, LimitCounters, Owner, Tuple, flag, kind};
use longwave_pipeline::component::Delivered;
use longwave_pipeline::model::{ConnectionRecord, PassEnd, UnixNanos};

use super::super::super::owner::SharedCgroups;
use super::super::super::sink::Sink;
use super::super::super::timeline::{Reading, Timeline};
use super::super::{LimitFields, Rules, Tracker};

pub const SECOND: u64 = 1_000_000_000;

/// A kernel with all fields, and 250 ticks a second.
pub const ALL_LIMITS: LimitFields = LimitFields {
    jiffy_micros: std::num::NonZeroU32::new(4_000),
    out_of_order: true,
    duplicate_sacks: true,
    delivered_ce: true,
    timeouts: true,
    peer_window: true,
};

/// Sink that stores what is delivered.
#[derive(Default)]
pub struct Kept {
    pub records: Vec<ConnectionRecord>,
    pub pass_ends: Vec<PassEnd>,
    pub refuse: bool,
}

impl Sink for Kept {
    fn offer_updates(&mut self, records: Vec<ConnectionRecord>) -> Delivered {
        if self.refuse {
            return Delivered::None;
        }
        self.records.extend(records);
        Delivered::All
    }

    fn give_events(&mut self, records: Vec<ConnectionRecord>) {
        self.records.extend(records);
    }

    fn pass_end(&mut self, pass_end: PassEnd) {
        self.pass_ends.push(pass_end);
    }
}

/// A tracker and its clock. Pass `n` has the tick `n` seconds.
pub struct Bench {
    pub tracker: Tracker<Kept>,
    pub timeline: Timeline,
    pub now: u64,
}

impl Bench {
    pub fn new(idle_records: bool) -> Self {
        let rules = Rules {
            boot: 0xabcd,
            idle_records,
            vanish_after: 6,
            max_connections: 10_000,
            shared_cgroups: SharedCgroups(vec![1]),
            limits: ALL_LIMITS,
        };
        let timeline =
            Timeline::new(std::time::Duration::from_secs(1), Reading { mono: 0, wall: 0, uncertainty: 0 });
        Self { tracker: Tracker::new(rules, Kept::default()), timeline, now: 0 }
    }

    /// Runs a pass with these samples. Returns the delivered records.
    pub fn pass(&mut self, samples: &[ConnectionEvent]) -> Vec<ConnectionRecord> {
        self.pass_with(samples, true, false)
    }

    pub fn pass_with(
        &mut self,
        samples: &[ConnectionEvent],
        complete: bool,
        refuse: bool,
    ) -> Vec<ConnectionRecord> {
        self.now += SECOND;
        self.tracker.outbox.sink.refuse = refuse;
        let tick = UnixNanos(self.now);
        self.tracker.begin_pass(tick, false);
        for sample in samples {
            self.tracker.observe(sample, tick, &self.timeline);
        }
        self.tracker.idle(complete, self.now, &self.timeline);
        self.tracker.end_pass(tick, false);
        self.tracker.outbox.sink.refuse = false;
        std::mem::take(&mut self.tracker.outbox.sink.records)
    }

    /// Processes a transition. Returns its records.
    pub fn transition(&mut self, event: &ConnectionEvent) -> Vec<ConnectionRecord> {
        let tick = UnixNanos(self.now + SECOND);
        self.tracker.observe(event, tick, &self.timeline);
        self.tracker.flush();
        std::mem::take(&mut self.tracker.outbox.sink.records)
    }
}

/// A socket with the counters that the kernel would have.
#[derive(Clone, Debug)]
pub struct Socket {
    pub cookie: u64,
    pub generation: u64,
    pub flags: u16,
    pub counters: Counters,
    pub limits: LimitCounters,
}

impl Socket {
    pub fn client(cookie: u64, generation: u64) -> Self {
        let start = (cookie as u32).wrapping_mul(0x9e37_79b9);
        Self {
            cookie,
            generation,
            flags: flag::START_KNOWN | flag::CLIENT | flag::ESTABLISHED,
            counters: Counters {
                bytes_acked: 1,
                write_seq: start,
                snd_nxt: start,
                snd_una: start,
                segs_out: 1,
                rtt_min_us: 50,
                rtt_min_lifetime_us: 50,
                srtt_us: 800,
                mss_cache: 1448,
                snd_cwnd: 10,
                ..Counters::default()
            },
            limits: LimitCounters { snd_wnd: 65_535, snd_ssthresh: 0x7fff_ffff, ..LimitCounters::default() },
        }
    }

    /// Returns a socket that is older than the receiver, with bytes sent and received.
    pub fn seeded(cookie: u64) -> Self {
        let mut socket = Self { flags: flag::ESTABLISHED, ..Self::client(cookie, 0) };
        socket.send(5_000);
        socket.receive(700);
        socket
    }

    pub fn send(&mut self, bytes: u32) {
        let c = &mut self.counters;
        c.write_seq = c.write_seq.wrapping_add(bytes);
        c.snd_nxt = c.write_seq;
        c.snd_una = c.write_seq;
        c.bytes_acked += u64::from(bytes);
        c.bytes_sent += u64::from(bytes);
        c.segs_out = c.segs_out.wrapping_add(1);
        c.data_segs_out = c.data_segs_out.wrapping_add(1);
    }

    pub fn receive(&mut self, bytes: u32) {
        let c = &mut self.counters;
        c.rcv_nxt = c.rcv_nxt.wrapping_add(bytes);
        c.copied_seq = c.rcv_nxt;
        c.bytes_received += u64::from(bytes);
        c.segs_in = c.segs_in.wrapping_add(1);
    }

    /// Returns an event. Like the kernel's, it has limits if it is a sample, or a close at which a counter of them is not 0.
    pub fn event(&self, kind: u8, observed_ns: u64) -> ConnectionEvent {
        let l = &self.limits;
        let times = l.busy_jiffies | l.peer_window_jiffies | l.send_buffer_jiffies;
        let is_limited = times | l.rcv_ooopack | l.dsack_dups | l.delivered_ce | l.total_rto != 0;
        let has_limits = kind == kind::SAMPLE || (kind == kind::CLOSE && is_limited);
        ConnectionEvent {
            version: LAYOUT_VERSION,
            kind,
            state: 1,
            flags: self.flags | if has_limits { flag::LIMITS } else { 0 },
            cookie: self.cookie,
            generation: self.generation,
            connect_ns: if self.generation == 0 { 0 } else { 1000 },
            observed_ns,
            tuple: Tuple { local_port: 4000, peer_port: 80, family: 2, ..Tuple::default() },
            owner: Owner { netns: 9, pid: 7, process_cgroup: 44, ..Owner::default() },
            counters: self.counters,
            limits: if has_limits { self.limits } else { LimitCounters::default() },
            ..ConnectionEvent::default()
        }
    }

    pub fn sample(&self, observed_ns: u64) -> ConnectionEvent {
        self.event(kind::SAMPLE, observed_ns)
    }

    pub fn close(&self, observed_ns: u64) -> ConnectionEvent {
        self.event(kind::CLOSE, observed_ns)
    }
}
