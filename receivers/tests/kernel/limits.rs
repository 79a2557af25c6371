//! Full rings and tables: everything that does not fit is counted.

use std::collections::HashMap;
use std::time::Instant;

use longwave_receivers::bpf::kernel::{Kernel, Options};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::host::{LIMIT, SeenEvents, connect, cookie, kernel, listen, pass};

/// Opens and closes `count` connections without draining. Returns the cookies of both ends.
fn churn(count: usize) -> Vec<u64> {
    let listener = listen();
    let mut cookies = Vec::new();
    for _ in 0..count {
        let (client, server) = connect(&listener);
        cookies.extend([cookie(&client), cookie(&server)]);
        // Both ends are closed once the server has read to the end of the stream.
        drop(client);
        std::io::copy(&mut &server, &mut std::io::sink()).unwrap();
        drop(server);
    }
    cookies
}

/// Drains until the closes that were seen and lost are as many as `cookies`, for a bounded time. Returns how often each was seen.
fn settle(kernel: &mut Kernel, seen: &mut SeenEvents, cookies: &[u64]) -> HashMap<u64, usize> {
    for _ in 0..10_000 {
        seen.drain(kernel);
        let of_ours = seen.closes.iter().filter(|event| cookies.contains(&event.cookie)).count() as u64;
        if of_ours + kernel.losses().lost_closes() >= cookies.len() as u64 {
            break;
        }
        std::thread::yield_now();
    }
    let mut counts: HashMap<u64, usize> = HashMap::new();
    for event in &seen.closes {
        *counts.entry(event.cookie).or_default() += 1;
    }
    counts
}

/// Asserts that a pass emits none of these connections.
fn assert_none_left(kernel: &mut Kernel, cookies: &[u64]) {
    for event in pass(kernel) {
        assert!(!cookies.contains(&event.cookie), "left in the table: {event:?}");
    }
}

/// *Scenario*: 500 connections open and close without draining. The ring of one page has room for 15 closes.
/// *Guarantees*: each close is either seen, once, or counted as lost. No connection stays in the table.
pub fn privileged_a_full_ring_is_counted() {
    let options = Options { transitions_ring_bytes: 4096, pre_existing: true, ..Options::default() };
    let mut kernel = kernel(&options);
    let mut seen = SeenEvents::default();
    let cookies = churn(500);
    let counts = settle(&mut kernel, &mut seen, &cookies);
    let losses = kernel.losses();
    assert!(losses.close_ring_full > 0);
    assert!(counts.values().all(|count| *count == 1));
    let ours = cookies.iter().filter(|cookie| counts.contains_key(cookie)).count() as u64;
    assert!(ours + losses.lost_closes() >= cookies.len() as u64, "{ours} {losses:?}");
    assert!(
        losses
            .by_reason()
            .any(|(reason, count)| reason == "close_ring_full" && count == losses.close_ring_full)
    );
    assert_none_left(&mut kernel, &cookies);
}

/// *Scenario*: 100 connections are open at the same time. The table has room for 16.
/// *Guarantees*: refused entries are counted, and every close is still reported once.
pub fn privileged_a_full_table_is_counted_and_closes_are_reported() {
    let mut kernel = kernel(&Options { max_connections: 16, ..Options::default() });
    let mut seen = SeenEvents::default();
    let listener = listen();
    let ends: Vec<_> = (0..100).map(|_| connect(&listener)).collect();
    let cookies: Vec<u64> =
        ends.iter().flat_map(|(client, server)| [cookie(client), cookie(server)]).collect();
    assert!(kernel.losses().table_full > 0, "{:?}", kernel.losses());
    drop(ends);
    let counts = settle(&mut kernel, &mut seen, &cookies);
    for cookie in &cookies {
        assert_eq!(counts.get(cookie), Some(&1));
    }
    assert!(kernel.losses().close_untracked > 0);
}

/// *Scenario*: connections open until the table has refused one thousand ends, and stay open. Then all close.
/// *Guarantees*: every slot is in use before the table is full, and each close is either delivered or counted as lost.
pub fn privileged_the_last_slot_is_used_before_the_table_is_full() {
    let many = Rlimit { current: Some(16_384), maximum: Some(16_384) };
    setrlimit(Resource::Nofile, many).unwrap();
    let options = Options { max_connections: 64, heartbeat_passes: 1, ..Options::default() };
    let mut kernel = kernel(&options);
    let mut seen = SeenEvents::default();
    let listener = listen();
    let mut ends = Vec::new();
    while kernel.losses().table_full < 1_000 && ends.len() < 4_000 {
        ends.push(connect(&listener));
    }
    let refused = kernel.losses().table_full;
    let cookies: Vec<u64> =
        ends.iter().flat_map(|(client, server)| [cookie(client), cookie(server)]).collect();
    let visited = kernel.pass(&mut |_| {}).unwrap().visited;
    assert!(refused >= 1_000, "{refused}");
    // Seven slots for every four connections, in buckets of eight.
    assert_eq!(visited, 64 * 7 / 4);
    drop(ends);
    let counts = settle(&mut kernel, &mut seen, &cookies);
    let losses = kernel.losses();
    let delivered: usize = cookies.iter().filter_map(|cookie| counts.get(cookie)).sum();
    assert_eq!(delivered as u64 + losses.lost_closes(), cookies.len() as u64, "{losses:?}");
    assert!(counts.values().all(|count| *count == 1));
    assert_none_left(&mut kernel, &cookies);
}

/// Returns the number of interrupts by which the kernel ran deferred work, on all CPUs. Each wake-up from a program is one.
fn deferred_work_interrupts() -> u64 {
    let text = std::fs::read_to_string("/proc/interrupts").unwrap();
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("IWI:")).unwrap();
    line.split_whitespace().map_while(|field| field.parse::<u64>().ok()).sum()
}

/// *Scenario*: 10,000 connections open and close while the reader, which has armed its wake-up once, does not run.
/// *Guarantees*: the reader is woken once, not for every close beyond the watermark. After it has armed again, it is woken once more.
pub fn privileged_a_stopped_reader_costs_one_wake_up() {
    let mut kernel = kernel(&Options { wake_bytes: 4096, ..Options::default() });
    for _ in 0..2 {
        // Counted first: connections of other tests may cause the wake-up too.
        let before = deferred_work_interrupts();
        let _ = kernel.armed_transitions_fd();
        churn(5_000);
        let interrupts = deferred_work_interrupts() - before;
        // Other programs on the machine cause some too.
        assert!((1..2_000).contains(&interrupts), "{interrupts} interrupts for 10,000 closes");
        kernel.drain_transitions(&mut |_| {});
    }
}

/// *Scenario*: a samples ring with room for 15 events, a table that one run visits completely, and 200 active sockets.
/// *Guarantees*: events that do not fit are counted, and the next passes emit them.
pub fn privileged_a_full_samples_ring_heals() {
    let options =
        Options { samples_ring_bytes: 4096, heartbeat_passes: 0, max_connections: 256, ..Options::default() };
    let mut kernel = kernel(&options);
    let listener = listen();
    let ends: Vec<_> = (0..100).map(|_| connect(&listener)).collect();
    let ours: Vec<u64> = ends.iter().flat_map(|(client, server)| [cookie(client), cookie(server)]).collect();
    let mut seen: HashMap<u64, usize> = HashMap::new();
    for _ in 0..60 {
        for event in pass(&mut kernel) {
            *seen.entry(event.cookie).or_default() += 1;
        }
    }
    assert!(kernel.losses().sample_ring_full > 0);
    for cookie in &ours {
        assert_eq!(seen.get(cookie), Some(&1));
    }
}

/// *Scenario*: 20,000 connections one after the other, drained every 1,000 connections.
/// *Guarantees*: every close is seen once, and none is counted as lost.
pub fn privileged_churn_loses_nothing() {
    let mut kernel = kernel(&Options::default());
    let mut seen = SeenEvents::default();
    let mut cookies = Vec::new();
    for _ in 0..20 {
        cookies.extend(churn(1_000));
        seen.drain(&mut kernel);
    }
    let wanted: std::collections::HashSet<u64> = cookies.iter().copied().collect();
    let mut counts: HashMap<u64, usize> = HashMap::new();
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        counts.clear();
        seen.drain(&mut kernel);
        for event in seen.closes.iter().filter(|event| wanted.contains(&event.cookie)) {
            *counts.entry(event.cookie).or_default() += 1;
        }
        if counts.len() == wanted.len() {
            break;
        }
        std::thread::yield_now();
    }
    assert_eq!(counts.len(), wanted.len(), "{:?} {:?}", kernel.losses(), kernel.program_stats());
    assert!(counts.values().all(|count| *count == 1));
    assert_eq!(kernel.losses().lost_closes(), 0);
}
