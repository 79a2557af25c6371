//! Measures the CPU time of the tracker: `cargo bench -p longwave-receivers --features bench --bench tracker`. Asserts nothing about time.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use longwave_ebpf_abi::{ConnectionEvent, Counters, LAYOUT_VERSION, Owner, Tuple, flag, kind};
use longwave_pipeline::component::Delivered;
use longwave_pipeline::model::{ConnectionRecord, PassEnd, UnixNanos};
use longwave_receivers::tracking::bench::{
    LimitFields, Reading, Rules, SharedCgroups, Sink, Timeline, Tracker,
};

const CONNECTIONS: u64 = 100_000;
const SECOND: u64 = 1_000_000_000;
const RUNS: usize = 5;

/// Counts records.
struct Counter(u64);

impl Sink for Counter {
    fn offer_updates(&mut self, records: Vec<ConnectionRecord>) -> Delivered {
        self.0 += records.len() as u64;
        Delivered::All
    }

    fn give_events(&mut self, records: Vec<ConnectionRecord>) {
        self.0 += records.len() as u64;
    }

    fn pass_end(&mut self, _: PassEnd) {}
}

/// Measures 100,000 connections: passes in which each of them made progress, passes in which none did, and then their closes. There is one
/// record for each connection and pass, and one for each close.
fn main() {
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..RUNS {
        let rules = Rules {
            boot: 1,
            idle_records: true,
            vanish_after: 100,
            max_connections: 1 << 20,
            shared_cgroups: SharedCgroups::default(),
            limits: LimitFields {
                jiffy_micros: std::num::NonZeroU32::new(4_000),
                out_of_order: true,
                duplicate_sacks: true,
                delivered_ce: true,
                timeouts: true,
                peer_window: true,
            },
        };
        let mut tracker = Tracker::new(rules, Counter(0));
        let timeline = Timeline::new(Duration::from_secs(1), Reading { mono: 0, wall: 0, uncertainty: 0 });
        let mut events: Vec<_> = (1..=CONNECTIONS).map(client).collect();
        for round in 0..6 {
            let is_busy = round % 2 == 0;
            events.iter_mut().filter(|_| is_busy).for_each(|event| send(event, 100));
            let tick = UnixNanos((round + 1) * SECOND);
            let start = cpu_time();
            tracker.begin_pass(tick, false);
            if is_busy {
                tracker.observe_samples(&events, tick, &timeline);
            }
            tracker.idle(true, round, &timeline);
            tracker.end_pass(tick, false);
            times[usize::from(!is_busy)].push(cpu_time() - start);
        }
        events.iter_mut().for_each(|event| event.kind = kind::CLOSE);
        let start = cpu_time();
        for event in &events {
            tracker.observe(event, UnixNanos(8 * SECOND), &timeline);
        }
        tracker.flush();
        times[2].push(cpu_time() - start);
        assert_eq!(tracker.into_sink().0, 7 * CONNECTIONS);
    }
    for (what, times) in ["updates", "idle", "closes"].iter().zip(&mut times) {
        times.sort_unstable();
        let rate = |time: Duration| CONNECTIONS as f64 / time.as_secs_f64() / 1e6;
        let (median, best) = (rate(times[times.len() / 2]), rate(times[0]));
        println!("{what}: {median:.2} M records/s (median of {}), {best:.2} M (best)", times.len());
    }
}

/// Returns a sample of a client that has sent nothing.
fn client(cookie: u64) -> ConnectionEvent {
    let start = (cookie as u32).wrapping_mul(0x9e37_79b9);
    ConnectionEvent {
        version: LAYOUT_VERSION,
        kind: kind::SAMPLE,
        state: 1,
        flags: flag::START_KNOWN | flag::CLIENT | flag::ESTABLISHED | flag::LIMITS,
        cookie,
        generation: cookie,
        connect_ns: 1000,
        observed_ns: 9,
        tuple: Tuple { local_port: 4000, peer_port: 80, family: 2, ..Tuple::default() },
        owner: Owner { netns: 9, pid: 7, process_cgroup: 44, ..Owner::default() },
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
        ..ConnectionEvent::default()
    }
}

fn send(event: &mut ConnectionEvent, bytes: u32) {
    let c = &mut event.counters;
    c.write_seq = c.write_seq.wrapping_add(bytes);
    (c.snd_nxt, c.snd_una) = (c.write_seq, c.write_seq);
    c.bytes_acked += u64::from(bytes);
    c.bytes_sent += u64::from(bytes);
    c.segs_out += 1;
    c.data_segs_out += 1;
    event.limits.busy_jiffies += 1;
}

/// Returns the CPU time of this thread, which other load on the machine does not change.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
