//! How fast the tracker is. Prints, asserts nothing about time: `cargo test --release -p longwave-receivers tracker::bench -- --ignored --nocapture`.

use std::time::Duration;

use longwave_pipeline::runtime::Delivered;
use longwave_pipeline::{ConnectionRecord, PassEnd, UnixNanos};

use super::super::owner::SharedCgroups;
use super::super::sink::Sink;
use super::super::timeline::{Reading, Timeline};
use super::tests::fixture::Socket;
use super::{Rules, Tracker};

struct Discard(u64);

impl Sink for Discard {
    fn offer(&mut self, records: Vec<ConnectionRecord>) -> Delivered {
        self.0 += records.len() as u64;
        Delivered::All
    }

    fn give(&mut self, records: Vec<ConnectionRecord>) {
        self.0 += records.len() as u64;
    }

    fn pass_end(&mut self, _: PassEnd) {}
}

/// Scenario: 100,000 connections; passes in which all moved, in which none did, and then their closes.
/// Guarantees: one record per connection and pass; prints records per second.
#[test]
#[ignore = "a measurement: run it in a release build"]
fn records_per_second() {
    const CONNECTIONS: u64 = 100_000;
    let rules = Rules {
        boot: 1,
        idle_records: true,
        vanish_after: 100,
        max_connections: 1 << 20,
        shared_cgroups: SharedCgroups::default(),
    };
    let mut tracker = Tracker::new(rules, Discard(0));
    let timeline = Timeline::new(Duration::from_secs(1), Reading { mono: 0, wall: 0 });
    let mut sockets: Vec<_> = (1..=CONNECTIONS).map(|cookie| Socket::client(cookie, cookie)).collect();
    for round in 0..6u64 {
        let busy = round % 2 == 0;
        let events: Vec<_> = sockets
            .iter_mut()
            .filter(|_| busy)
            .map(|socket| {
                socket.send(100);
                socket.sample(round)
            })
            .collect();
        let start = cpu();
        tracker.begin_pass(UnixNanos((round + 1) * 1_000_000_000), false);
        for event in &events {
            tracker.sample(event, &timeline);
        }
        tracker.idle(true, round, &timeline);
        tracker.end_pass(UnixNanos((round + 1) * 1_000_000_000), false);
        report(if busy { "updates" } else { "idle" }, CONNECTIONS, cpu().saturating_sub(start));
    }
    let closes: Vec<_> = sockets.iter().map(|socket| socket.close(9)).collect();
    let start = cpu();
    for close in &closes {
        tracker.transition(close, UnixNanos(8_000_000_000), &timeline);
    }
    tracker.flush();
    report("closes", CONNECTIONS, cpu().saturating_sub(start));
    assert_eq!(tracker.into_sink().0, 7 * CONNECTIONS);
}

fn report(what: &str, records: u64, took: Duration) {
    eprintln!("tracker: {what}: {:.2} M records/s ({took:?})", records as f64 / took.as_secs_f64() / 1e6);
}

fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
