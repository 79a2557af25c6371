//! Sums of windows, and the last window at a stop.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use longwave_testing::{gate, harness, tests};
use longwave_tests::cgroup::{self, Cgroup};
use longwave_tests::end::End;
use longwave_tests::longwave::Point;
use longwave_tests::{Family, Finished, Longwave, Network, balance, config};
use rustix::time::ClockId;
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(60);
const WORKLOADS: usize = 14;

/// Sums by name of the measure.
type Sums = BTreeMap<&'static str, u64>;

/// Sums the records of a run. At level `connection`, failed connections have no series.
fn sums_of_records(finished: &Finished, level: &str) -> Sums {
    let mut sums = Sums::new();
    let mut opened = HashSet::new();
    for record in finished.records.iter().filter(|record| level != "connection" || record.event() != "fail") {
        for (name, _, delta) in record.measures() {
            *sums.entry(name).or_default() += delta;
        }
        match record.event() {
            "close" | "vanished" => *sums.entry("connections.closed").or_default() += 1,
            "fail" => *sums.entry("connections.failed").or_default() += 1,
            _ => {}
        }
        if record.start_known && record.event() != "fail" {
            opened.insert(record.id.as_str());
        }
    }
    sums.insert("connections.opened", opened.len() as u64);
    sums
}

/// Sums the windows of one level.
fn sums_of_windows(finished: &Finished, level: &str, names: impl Iterator<Item = &'static str>) -> Sums {
    let of_level = || finished.points.iter().filter(|point| point["level"] == level);
    names.map(|name| (name, of_level().filter_map(|point| point.get(name)?.as_u64()).sum())).collect()
}

/// Asserts that the windows of each level sum to the records.
fn assert_conserved(finished: &Finished, levels: &[&str]) {
    for level in levels {
        let records = sums_of_records(finished, level);
        assert!(records["sent_bytes"] > 0, "nothing was sent");
        let windows = sums_of_windows(finished, level, records.keys().copied());
        assert_eq!(windows, records, "the windows of level {level} (left) against the records (right)");
    }
}

/// Asserts that windows have no gaps and no overlaps, that all but the last are aligned, and that no series is in a window twice.
fn assert_windows_tile(finished: &Finished, seconds: u64) {
    let mut windows: Vec<(&str, &str)> = finished.points.iter().map(bounds).collect();
    windows.sort_unstable();
    windows.dedup();
    for pair in windows.windows(2) {
        assert_eq!(pair[0].1, pair[1].0, "a gap or an overlap");
    }
    for (start, end) in windows.iter().take(windows.len() - 1) {
        let nanos = |text| longwave_tests::time::unix_nanos(text).unwrap();
        assert_eq!(nanos(end) % (seconds * 1_000_000_000), 0, "{start} – {end} is not aligned");
    }
    let mut seen = HashMap::new();
    for point in &finished.points {
        let mut attributes: Vec<String> = point
            .iter()
            .filter(|(_, value)| value.is_string() || value.is_boolean())
            .map(|kv| format!("{kv:?}"))
            .collect();
        attributes.sort();
        assert!(seen.insert(attributes, ()).is_none(), "twice in one window: {point:?}");
    }
}

fn bounds(point: &Point) -> (&str, &str) {
    (point["start"].as_str().unwrap(), point["end"].as_str().unwrap())
}

/// Opens long, short and refused connections in `WORKLOADS` cgroups, for a few windows.
fn load(longwave: &Longwave) {
    let network = Network::loopback(Family::V4);
    let cgroups: Vec<Cgroup> = (0..WORKLOADS).map(|number| Cgroup::new(&format!("load{number}"))).collect();
    let mut long: Vec<(End, End)> =
        cgroups.iter().map(|cgroup| cgroup.within(|| network.pair().unwrap())).collect();
    let mut windows = HashSet::new();
    let mut rounds = 0_u64;
    longwave.await_points("four windows", LIMIT, |point| {
        windows.insert(bounds(point).0.to_owned());
        if rounds < 40 {
            rounds += 1;
            for (client, server) in &mut long {
                client.write(10_000 + rounds).unwrap();
                server.read(10_000 + rounds).unwrap();
                server.write(99).unwrap();
                client.read(99).unwrap();
            }
            for cgroup in &cgroups {
                let (mut client, mut server) = cgroup.within(|| network.pair().unwrap());
                client.write(777).unwrap();
                server.read(777).unwrap();
            }
            longwave_tests::scenario::refused(&network).unwrap();
        }
        windows.len() > 4
    });
    drop(long);
}

fn conserved_with(max_series: usize) -> Finished {
    let longwave = Longwave::start(config::logs_and_windows(
        json!({"interval": "1s"}),
        json!({"interval": "1s", "levels": ["service", "workload", "connection"], "min_age": "0s", "max_series": max_series}),
    ));
    load(&longwave);
    balance::assert_balances(&longwave);
    let finished = longwave.stop();
    assert_conserved(&finished, &["service", "workload", "connection"]);
    assert_windows_tile(&finished, 1);
    finished
}

/// Returns the maximum number of series of `level` in one window.
fn max_series_of(finished: &Finished, level: &str) -> usize {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for point in finished.points.iter().filter(|point| point["level"] == level) {
        *counts.entry(bounds(point).0).or_default() += 1;
    }
    counts.into_values().max().unwrap_or(0)
}

/// *Scenario*: 14 workloads with long, short and refused connections over several windows.
/// *Guarantees*: the windows of every level sum to the records. They are aligned and have no gaps. Each workload has a series.
fn windows_sum_to_connections() {
    let _turn = gate::privileged();
    if cgroup::mount_point().is_none() {
        gate::missing("no cgroup2", "LONGWAVE_REQUIRE_BPF");
    }
    let finished = conserved_with(0);
    assert!(max_series_of(&finished, "workload") >= WORKLOADS, "{}", max_series_of(&finished, "workload"));
}

/// *Scenario*: the same with a limit of ten series.
/// *Guarantees*: the windows still sum to the records, because further series are folded and not dropped.
fn windows_sum_to_connections_with_ten_series() {
    let _turn = gate::privileged();
    if cgroup::mount_point().is_none() {
        gate::missing("no cgroup2", "LONGWAVE_REQUIRE_BPF");
    }
    let finished = conserved_with(10);
    for level in ["service", "workload", "connection"] {
        // The limit does not count the series into which others are folded: two of each rung, and the overflow series.
        assert!(max_series_of(&finished, level) <= 17, "{level}: {}", max_series_of(&finished, level));
    }
    assert!(
        finished.points.iter().any(|point| point.contains_key("longwave.folded")),
        "no series was folded"
    );
}

/// *Scenario*: 200 connections open and close in the middle of a window of 60 s. Then Longwave receives SIGTERM.
/// *Guarantees*: all closes and the last window are exported before it exits with 0, and their sums are equal.
fn a_stop_delivers_everything() {
    let _turn = gate::privileged();
    let longwave = Longwave::start(config::logs_and_windows(
        json!({"interval": "60s"}),
        json!({"interval": "60s", "levels": ["service", "workload", "connection"], "min_age": "0s"}),
    ));
    let network = Network::loopback(Family::V4);
    let mut cookies = HashSet::new();
    for _ in 0..200 {
        let (mut client, mut server) = network.pair().unwrap();
        client.write(1_000).unwrap();
        server.read(1_000).unwrap();
        cookies.insert(client.close().cookie);
        server.read_to_end().unwrap();
        cookies.insert(server.close().cookie);
    }
    let finished = longwave.stop();
    for record in finished.records.iter().filter(|record| record.event() == "close") {
        cookies.remove(&record.cookie());
    }
    assert!(cookies.is_empty(), "{} closes were not exported", cookies.len());
    assert_conserved(&finished, &["service", "workload"]);
}

/// Sets the wall clock forward or back.
fn set_clock(hours: i64) {
    let mut time = rustix::time::clock_gettime(ClockId::Realtime);
    time.tv_sec += hours * 3_600;
    rustix::time::clock_settime(ClockId::Realtime, time).unwrap();
}

fn wall_clock() -> u64 {
    let time = rustix::time::clock_gettime(ClockId::Realtime);
    (time.tv_sec * 1_000_000_000 + time.tv_nsec) as u64
}

/// *Scenario*: in a virtual machine, the wall clock is set an hour forward and two hours back while a connection is open.
/// *Guarantees*: the connection's duration is the real one. After each step its records have the time of the new clock. Windows go on
/// without a gap or an overlap, and sum to the records. Each step is logged and counted.
fn the_wall_clock_is_set() {
    let _turn = gate::privileged();
    if std::env::var_os("LONGWAVE_VM").is_none() {
        gate::skip("it sets the clock, so it runs in virtual machines only");
    }
    let longwave = Longwave::start(config::logs_and_windows(
        json!({"interval": "1s"}),
        json!({"interval": "1s", "levels": ["service", "workload"]}),
    ));
    let network = Network::loopback(Family::V4);
    let opened = Instant::now();
    let (mut client, server) = network.pair().unwrap();
    let connected = Instant::now();
    let cookie = client.account().cookie;
    for (hours, text) in [(0, ""), (1, "was set forward by 1h0m0"), (-2, "was set back by 2h0m0")] {
        if hours != 0 {
            set_clock(hours);
            longwave.await_stderr(text, LIMIT);
        }
        client.write(1_000).unwrap();
        let before = longwave.records_seen();
        let mut new = 0;
        longwave.await_records("two records of the new time", LIMIT, |record| {
            new += 1;
            new > before + 1 && record.cookie() == cookie && record.event() == "update"
        });
        let last = longwave.records(|records| {
            let of_client = records.iter().rfind(|record| record.cookie() == cookie).unwrap();
            longwave_tests::time::unix_nanos(&of_client.timestamp).unwrap()
        });
        let now = wall_clock();
        assert!(
            (now - 60_000_000_000..=now).contains(&last),
            "{text}: the last record is of {last}, now it is {now}"
        );
    }
    let least = connected.elapsed();
    client.close();
    drop(server);
    assert!(longwave.await_finals(&[(cookie, 1)], LIMIT), "no close");
    let most = opened.elapsed();
    let telemetry = longwave.telemetry();
    for direction in ["forward", "back"] {
        let steps = telemetry.sum("longwave_receiver_clock_steps", &[("direction", direction)]);
        assert_eq!(steps, 1, "{direction}: {}", telemetry.show());
    }
    let finished = longwave.stop();
    set_clock(1);
    let close =
        finished.records.iter().find(|record| record.cookie() == cookie && record.is_final()).unwrap();
    let duration = Duration::from_secs_f64(close.duration.unwrap());
    assert!((least..=most).contains(&duration), "{duration:?} is not in {least:?}..={most:?}");
    assert_eq!(finished.stderr.matches("the wall clock was set").count(), 2, "{}", finished.stderr);
    assert_conserved(&finished, &["service", "workload"]);
    assert_windows_tile(&finished, 1);
}

fn main() -> ExitCode {
    harness::run(tests![
        windows_sum_to_connections,
        windows_sum_to_connections_with_ten_series,
        a_stop_delivers_everything,
        the_wall_clock_is_set,
    ])
}
