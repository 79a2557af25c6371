//! Continuity: connections that are older than Longwave, that are idle, that are in other namespaces, or that no process has open.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use longwave_testing::netns::Netns;
use longwave_testing::{gate, harness, tests};
use longwave_tests::end::{Account, End};
use longwave_tests::time::unix_nanos;
use longwave_tests::verdict::{assert_exact, finals};
use longwave_tests::{Family, Longwave, Network, PlayedConnection, Record, balance, config, losses};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(60);

/// Waits for a record of each cookie.
fn await_each(longwave: &Longwave, what: &str, cookies: &[u64]) {
    let mut left: Vec<u64> = cookies.to_vec();
    longwave.await_records(what, LIMIT, |record| {
        left.retain(|cookie| *cookie != record.cookie());
        left.is_empty()
    });
}

fn cookies(pairs: &[(End, End)]) -> Vec<u64> {
    pairs.iter().flat_map(|(client, server)| [client.account().cookie, server.account().cookie]).collect()
}

/// Sends `bytes` from client to server and back, and reads them.
fn exchange(pair: &mut (End, End), bytes: u64) {
    let (client, server) = pair;
    client.write(bytes).unwrap();
    server.read(bytes).unwrap();
    server.write(bytes / 3).unwrap();
    client.read(bytes / 3).unwrap();
}

fn close_all(name: &str, pairs: Vec<(End, End)>, as_found: fn(Account) -> Account) -> Vec<PlayedConnection> {
    pairs
        .into_iter()
        .map(|(client, mut server)| {
            let client = client.close();
            server.read_to_end().unwrap();
            PlayedConnection::arrived(
                name,
                as_found(client).because(&["fin"]),
                as_found(server.close()).because(&["fin"]),
            )
        })
        .collect()
}

/// *Scenario*: connections of every address family, on loopback and in another namespace, that had traffic before Longwave starts.
/// *Guarantees*: each is in the first window, with the right role, `start_known` false and deltas of 0. Later deltas and the close are
/// exact.
fn older_than_longwave() {
    let _turn = gate::privileged();
    let netns = Netns::new();
    let mut pairs: Vec<(End, End)> = Family::ALL
        .into_iter()
        .flat_map(|family| [Network::loopback(family), Network::inside(&netns, family)])
        .map(|network| network.pair().unwrap())
        .collect();
    for pair in &mut pairs {
        exchange(pair, 10_000);
    }
    let longwave = Longwave::start(config::logs_and_windows(
        json!({"interval": "1s"}),
        json!({"interval": "1s", "levels": ["service", "workload", "connection"], "min_age": "0s"}),
    ));
    let all = cookies(&pairs);
    await_each(&longwave, "a record of each older connection", &all);
    for pair in &mut pairs {
        exchange(pair, 70_000);
    }
    let mut grown: HashMap<u64, bool> = all.iter().map(|cookie| (*cookie, false)).collect();
    longwave.await_records("an update with the new bytes of each", LIMIT, |record| {
        if record.sent_bytes_delta > 0
            && let Some(grown) = grown.get_mut(&record.cookie())
        {
            *grown = true;
        }
        grown.values().all(|grown| *grown)
    });
    let connections = close_all("older", pairs, Account::pre_existing);
    longwave.await_finals(&finals(&connections), LIMIT);
    balance::assert_balances(&longwave);
    let finished = longwave.stop();
    assert_exact(&connections, &finished.records);
    for cookie in &all {
        let first = finished.records.iter().find(|record| record.cookie() == *cookie).unwrap();
        assert_eq!(first.event(), "update", "{first:?}");
        assert!(first.sent_bytes > 0 && first.received_bytes > 0, "its totals are known: {first:?}");
    }
    let first_window = finished.points.iter().filter_map(|point| point["start"].as_str()).min().unwrap();
    for cookie in &all {
        let id = finished
            .records
            .iter()
            .find(|record| record.cookie() == *cookie)
            .map(|record| &record.id)
            .unwrap();
        let series = finished.points.iter().find(|point| {
            point["level"] == "connection"
                && point["start"] == first_window
                && point.get("longwave.connection.id").is_some_and(|text| text == id.as_str())
        });
        let series = series.unwrap_or_else(|| panic!("{id} is not in the first window, {first_window}"));
        assert_eq!(series["sent_bytes"], 0, "bytes before the start belong to no window: {series:?}");
        assert_eq!(series["connections.active"], 1, "{series:?}");
        assert_eq!(series["connections.opened"], 0, "{series:?}");
    }
}

/// Runs Longwave with two idle connections, one older and one younger than Longwave. Returns the times between the updates of each end, in
/// ns.
fn idle_update_gaps(interval: &str, reports: usize) -> Vec<Vec<u64>> {
    let network = Network::loopback(Family::V4);
    let mut older = network.pair().unwrap();
    exchange(&mut older, 500);
    let longwave = Longwave::start(config::logs(json!({"interval": interval})));
    let mut younger = network.pair().unwrap();
    exchange(&mut younger, 500);
    let pairs = vec![older, younger];
    let all = cookies(&pairs);
    let mut counts: HashMap<u64, usize> = all.iter().map(|cookie| (*cookie, 0)).collect();
    longwave.await_records("updates of idle connections", Duration::from_secs(240), |record| {
        if record.event() == "update"
            && let Some(count) = counts.get_mut(&record.cookie())
        {
            *count += 1;
        }
        counts.values().all(|count| *count >= reports)
    });
    drop(pairs);
    let finished = longwave.stop();
    all.iter().map(|cookie| update_gaps(&finished.records, *cookie)).collect()
}

/// Returns the times between the updates of an idle connection in ns.
fn update_gaps(records: &[Record], cookie: u64) -> Vec<u64> {
    let updates: Vec<&Record> =
        records.iter().filter(|record| record.cookie() == cookie && record.event() == "update").collect();
    for update in updates.iter().skip(2) {
        assert!(
            update.measures().iter().all(|(_, _, delta)| *delta == 0),
            "an idle connection has deltas: {update:?}"
        );
    }
    let times: Vec<u64> = updates.iter().map(|update| unix_nanos(&update.timestamp).unwrap()).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// *Scenario*: connections that are idle for ten intervals of 1 s.
/// *Guarantees*: each has one record per interval, with deltas of 0.
fn idle_is_reported_every_interval() {
    let _turn = gate::privileged();
    for gaps in idle_update_gaps("1s", 10) {
        assert!(gaps.len() >= 9, "{gaps:?}");
        // With two records in one interval, or none, a gap would differ much from 1 s.
        assert!(gaps.iter().all(|gap| *gap > 200_000_000 && *gap < 1_900_000_000), "{gaps:?}");
    }
}

/// *Scenario*: connections that are idle for 60 s, with the default interval of 5 s.
/// *Guarantees*: each has twelve records.
fn idle_for_a_minute() {
    let _turn = gate::privileged();
    for gaps in idle_update_gaps("5s", 12) {
        assert!(gaps.len() >= 11, "{gaps:?}");
        assert!(gaps.iter().all(|gap| *gap > 3_000_000_000 && *gap < 7_000_000_000), "{gaps:?}");
    }
}

/// *Scenario*: before Longwave starts, a process closes a connection whose send buffer is full. The peer reads after the start. On loopback
/// and in another namespace.
/// *Guarantees*: Longwave finds the socket although no process has it open, and the bytes at its close are exact.
fn orphaned_before_the_start() {
    let _turn = gate::privileged();
    let netns = Netns::new();
    let networks =
        [Network::loopback(Family::V4), Network::loopback(Family::V6), Network::inside(&netns, Family::V4)];
    let mut orphans: Vec<(Account, End)> = networks
        .iter()
        .map(|network| {
            let (mut client, server) = network.pair().unwrap();
            client.write_until_full().unwrap();
            (client.close(), server)
        })
        .collect();
    let longwave = Longwave::start(config::logs(json!({"interval": "1s"})));
    let all: Vec<u64> = orphans.iter().map(|(client, _)| client.cookie).collect();
    await_each(&longwave, "a record of each orphan", &all);
    let connections: Vec<PlayedConnection> = orphans
        .drain(..)
        .map(|(client, mut server)| {
            server.read_to_end().unwrap();
            let (client, server) = (client.pre_existing(), server.close().pre_existing());
            PlayedConnection::arrived("orphaned before", client.because(&["fin"]), server.because(&["fin"]))
        })
        .collect();
    longwave.await_finals(&finals(&connections), LIMIT);
    balance::assert_balances(&longwave);
    let finished = longwave.stop();
    assert_exact(&connections, &finished.records);
}

/// *Scenario*: 300 busy connections, half of them older than Longwave, a small table, and a ring of one page for samples.
/// *Guarantees*: samples are lost and counted. The deltas of every connection still sum to its totals.
fn deltas_sum_though_samples_are_lost() {
    let _turn = gate::privileged();
    let network = Network::loopback(Family::V4);
    let pairs = |count: usize| -> Vec<(End, End)> { (0..count).map(|_| network.pair().unwrap()).collect() };
    let mut older = pairs(150);
    older.iter_mut().for_each(|pair| exchange(pair, 2_000));
    let longwave = Longwave::start(config::logs(
        json!({"interval": "1s", "samples_ring_size": 4096, "max_connections": 1024}),
    ));
    let mut younger = pairs(150);
    let some = cookies(&older);
    longwave.await_records("a record of an older one", LIMIT, |record| some.contains(&record.cookie()));
    for _ in 0..30 {
        for pair in older.iter_mut().chain(&mut younger) {
            exchange(pair, 3_000);
        }
        if losses::of_samples(&longwave.telemetry()) > 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(200)); // samples are lost during a pass, and the next pass is at the next tick
    }
    let page = longwave.telemetry();
    assert!(losses::of_samples(&page) > 0, "inconclusive: no sample was lost\n{}", page.show());
    for pair in older.iter_mut().chain(&mut younger) {
        exchange(pair, 5_000);
    }
    let mut connections = close_all("older under lost samples", older, Account::pre_existing);
    connections.extend(close_all("younger under lost samples", younger, |account| account));
    longwave.await_finals(&finals(&connections), LIMIT);
    balance::assert_balances(&longwave);
    let finished = longwave.stop();
    assert_exact(&connections, &finished.records);
}

/// *Scenario*: the configuration writes a record file that must not exist before. While connections open, transfer data and close, Longwave gets
/// SIGHUP again and again, and its configuration does not change.
/// *Guarantees*: each connection has one final record with exact counts. A connection that is open all the time remains the same connection, whose
/// open is known. No counter restarts.
fn a_reload_without_a_change_misses_nothing() {
    const RELOADS: usize = 20;
    const UNCHANGED: &str = "the configuration has not changed";
    let _turn = gate::privileged();
    let folder = tempfile::tempdir().unwrap();
    let longwave = Longwave::start(config::merged(
        config::logs(json!({"interval": "200ms"})),
        json!({
            "exporters": {"record_file": {"path": folder.path().join("records.lwr")}},
            "service": {"pipelines": {"logs": {"exporters": ["stdout", "record_file"]}}},
        }),
    ));
    let network = Network::loopback(Family::V4);
    let mut open = network.pair().unwrap();
    let mut pairs = Vec::new();
    for reload in 1..=RELOADS {
        longwave.reload_with(json!({}));
        for _ in 0..10 {
            let mut pair = network.pair().unwrap();
            exchange(&mut pair, 1_000);
            pairs.push(pair);
        }
        exchange(&mut open, 3_000);
        longwave.await_stderr_times(UNCHANGED, reload, LIMIT);
    }
    pairs.push(open);
    let connections = close_all("reload", pairs, |account| account);
    longwave.await_finals(&finals(&connections), LIMIT);
    let accepted = longwave.telemetry().sum("longwave_receiver_accepted_records", &[]);
    assert!(accepted >= connections.len() as u64 * 2, "the counters have restarted: {accepted}");
    balance::assert_balances(&longwave);
    let finished = longwave.stop();
    assert_exact(&connections, &finished.records);
    assert!(!finished.stderr.contains("configuration is in effect"), "{}", finished.stderr);
}

fn main() -> ExitCode {
    harness::run(tests![
        older_than_longwave,
        idle_is_reported_every_interval,
        idle_for_a_minute,
        orphaned_before_the_start,
        deltas_sum_though_samples_are_lost,
        a_reload_without_a_change_misses_nothing,
    ])
}
