//! Full rings and tables: everything that does not fit is counted.

use std::collections::HashMap;

use longwave_receivers::bpf::kernel::{Kernel, Options};

use super::host::{SeenEvents, connect, cookie, kernel, listen, pass};

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

/// *Scenario*: 500 connections open and close without draining. The ring of one page has room for 15 closes.
/// *Guarantees*: each close is either seen, once, or counted as lost. No connection stays in the table.
#[test]
fn privileged_a_full_ring_is_counted() {
    let options = Options { transitions_ring_bytes: 4096, pre_existing: true, ..Options::default() };
    let Some(mut kernel) = kernel(&options) else { return };
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
    for event in pass(&mut kernel) {
        assert!(!cookies.contains(&event.cookie), "left in the table: {event:?}");
    }
}

/// *Scenario*: 100 connections are open at the same time. The table has room for 16.
/// *Guarantees*: refused entries are counted, and every close is still reported once.
#[test]
fn privileged_a_full_table_is_counted_and_closes_are_reported() {
    let Some(mut kernel) = kernel(&Options { max_connections: 16, ..Options::default() }) else { return };
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

/// *Scenario*: a samples ring with room for 15 events, a table that one run visits completely, and 200 active sockets.
/// *Guarantees*: events that do not fit are counted, and the next passes emit them.
#[test]
fn privileged_a_full_samples_ring_heals() {
    let options =
        Options { samples_ring_bytes: 4096, heartbeat_passes: 0, max_connections: 256, ..Options::default() };
    let Some(mut kernel) = kernel(&options) else { return };
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
#[test]
fn privileged_churn_loses_nothing() {
    let Some(mut kernel) = kernel(&Options::default()) else { return };
    let mut seen = SeenEvents::default();
    let mut cookies = Vec::new();
    for _ in 0..20 {
        cookies.extend(churn(1_000));
        seen.drain(&mut kernel);
    }
    let wanted: std::collections::HashSet<u64> = cookies.iter().copied().collect();
    let mut counts: HashMap<u64, usize> = HashMap::new();
    for _ in 0..10_000 {
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
