//! SIGHUP with changed configurations, under load.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;
use std::time::Duration;

use longwave_testing::{gate, harness, tests};
use longwave_tests::churn::{Churn, Tally, tally};
use longwave_tests::end::{Account, End};
use longwave_tests::http_sink::HttpSink;
use longwave_tests::longwave::Options;
use longwave_tests::telemetry::Metrics;
use longwave_tests::verdict::{assert_exact, finals};
use longwave_tests::{
    Family, Finished, Longwave, Network, PlayedConnection, balance, config, otlp_json, usage,
};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);
const IN_EFFECT: &str = "SIGHUP: the new configuration is in effect";
/// Number of reloads. `LONGWAVE_TEST_RELOADS` has another one.
const RELOADS: usize = 100;
/// Maximum growth of the private memory in bytes: what the queue of stdout takes while this process reads slowly. A leak of a component's
/// memory in each reload is larger after a thousand.
const MAX_GROWTH: f64 = 64e6;

/// Values of the counters, by name and labels.
type Counters = BTreeMap<String, f64>;

/// Returns the change of the configuration for one reload. It differs from that of the reload before.
fn change(reload: usize) -> Value {
    let timeout = if reload.is_multiple_of(2) { "5s" } else { "6s" };
    let max_series = if (reload / 10).is_multiple_of(2) { 1000 } else { 2000 };
    json!({
        "exporters": {"otlp_http": {"timeout": timeout}},
        "processors": {"window": {"max_series": max_series}},
    })
}

/// Sends `bytes` from client to server, and reads them.
fn send((client, server): &mut (End, End), bytes: u64) {
    client.write(bytes).unwrap();
    server.read(bytes).unwrap();
}

fn close((client, mut server): (End, End)) -> PlayedConnection {
    let client = client.close();
    server.read_to_end().unwrap();
    let by_fin = |account: Account| account.because(&["fin"]);
    PlayedConnection::arrived("reload", by_fin(client), by_fin(server.close()))
}

fn counters(page: &Metrics) -> Counters {
    let is_counter =
        |name: &str| ["_total", "_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end));
    let samples = page.samples.iter().filter(|sample| is_counter(&sample.name));
    samples.map(|sample| (format!("{} {:?}", sample.name, sample.labels), sample.value)).collect()
}

/// Asserts that every counter is still on the page and has not decreased.
fn assert_monotone(before: &Counters, after: &Counters) {
    let decreased = before.iter().filter(|(name, value)| after.get(*name).is_none_or(|next| next < value));
    let decreased: Vec<_> = decreased.map(|(name, value)| (name, value, after.get(name))).collect();
    assert!(decreased.is_empty(), "counters have decreased or disappeared: {decreased:#?}");
}

fn gauge(page: &Metrics, name: &str) -> f64 {
    page.samples.iter().find(|sample| sample.name == name).unwrap().value
}

/// Returns the resident memory that is not mapped, in bytes. The ring buffers of the receiver are mapped, and become resident by traffic.
fn private_memory(longwave: &Longwave) -> f64 {
    let pid = longwave.pid().as_raw_nonzero().get().cast_unsigned();
    usage::memory(pid, "RssAnon").unwrap() as f64
}

/// Asserts that private memory and open descriptors, one pair for each reload, have not grown between the first half and the last quarter. What
/// threads and connections need for a moment is in the maximum of the former, and not in the minimum of the latter.
fn assert_no_growth(usage: &[(f64, f64)]) {
    let (first, last) = (&usage[..usage.len().div_ceil(2)], &usage[usage.len() * 3 / 4..]);
    let max = first.iter().fold((0.0, 0.0), |max, of| (of.0.max(max.0), of.1.max(max.1)));
    let min = last.iter().fold((f64::MAX, f64::MAX), |min, of| (of.0.min(min.0), of.1.min(min.1)));
    eprintln!("{} reloads: memory and descriptors at most {max:?}, and then at least {min:?}", usage.len());
    assert!(
        min.0 <= max.0 + MAX_GROWTH && min.1 <= max.1,
        "memory and descriptors grew from {max:?} to {min:?}"
    );
}

/// Asserts that the windows of each level sum to the deltas of the records.
fn assert_windows_sum_to_records(finished: &Finished) {
    for level in ["service", "workload"] {
        for (index, name) in ["sent_bytes", "received_bytes", "sent_segments"].into_iter().enumerate() {
            let records: u64 = finished.records.iter().map(|record| record.measures()[index].2).sum();
            let points = finished.points.iter().filter(|point| point["level"] == level);
            let windows: u64 = points.filter_map(|point| point.get(name)?.as_u64()).sum();
            assert_eq!(
                windows, records,
                "{name} of the windows of level {level} (left) and of the records (right)"
            );
        }
    }
}

/// *Scenario*: SIGHUP 100 times, while connections open, transfer data and close. Each time a setting of an OTLP exporter changes, and every tenth
/// time one of the window processor. The other exporters are a record file that must not exist before, and stdout.
/// *Guarantees*: each connection has one final record with exact counts, on stdout and at the OTLP server, each record is delivered once, and the
/// windows sum to the records. A connection that is open all the time remains the same, whose open is known. No counter decreases. Memory and
/// descriptors do not grow.
fn reloads_under_load_miss_nothing() {
    let _turn = gate::privileged();
    let reloads = std::env::var("LONGWAVE_TEST_RELOADS").map_or(RELOADS, |text| text.parse().unwrap());
    let (folder, sink) = (tempfile::tempdir().unwrap(), HttpSink::start());
    let base =
        config::logs_and_windows(json!({"interval": "200ms"}), json!({"interval": "1s", "max_series": 1000}));
    let endpoint = format!("http://{}", sink.address);
    // With one arena for each thread, the memory of the allocator grows for minutes.
    let wrapper = ["env", "MALLOC_ARENA_MAX=1"].map(str::to_owned).to_vec();
    let config = config::merged(
        base,
        json!({
            "exporters": {
                "record_file": {"path": folder.path().join("records.lwr")},
                "otlp_http": {"endpoint": endpoint, "encoding": "json", "compression": "none"},
            },
            "service": {"pipelines": {"logs": {"exporters": ["stdout/logs", "record_file", "otlp_http"]}}},
        }),
    );
    let longwave = Longwave::start_with(config, Options { wrapper, ..Options::default() });
    let network = Network::loopback(Family::V4);
    let churn = Churn::new(1);
    let mut open = network.pair().unwrap();
    let mut connections = Vec::new();
    let mut before = counters(&longwave.telemetry());
    let mut usage = Vec::new();
    let short = std::thread::scope(|scope| {
        let churn = scope.spawn(|| churn.run(reloads as u32 * 10, Some(100)));
        for reload in 1..=reloads {
            longwave.reload_with(change(reload));
            for _ in 0..5 {
                let mut pair = network.pair().unwrap();
                send(&mut pair, 1_000);
                connections.push(close(pair));
            }
            send(&mut open, 3_000);
            longwave.await_stderr_times(IN_EFFECT, reload, LIMIT);
            let page = longwave.telemetry();
            let after = counters(&page);
            assert_monotone(&before, &after);
            before = after;
            usage.push((private_memory(&longwave), gauge(&page, "process_open_fds")));
        }
        churn.join().unwrap()
    });
    assert_no_growth(&usage);
    connections.push(close(open));
    let mut expected = finals(&connections);
    expected.extend(short.iter().map(|end| (end.cookie, 1)));
    assert!(longwave.await_finals(&expected, LIMIT), "not every connection has its final record");
    balance::assert_balances(&longwave);
    assert!(!longwave.stderr().contains("ERROR"), "{}", longwave.stderr());
    let page = longwave.telemetry();
    let lost = |name: &str| page.sum(name, &[]);
    assert_eq!(
        (lost("longwave_dropped_traffic_bytes"), lost("longwave_exporter_send_failed_log_records")),
        (0, 0)
    );
    let finished = longwave.stop();
    assert_exact(&connections, &finished.records);
    assert_eq!(tally(&short, &finished.records), Tally { seen: short.len() as u64, ..Tally::default() });
    assert_windows_sum_to_records(&finished);
    let mut delivered: HashMap<String, usize> = HashMap::new();
    for (_, body) in sink.bodies() {
        for (_, _, attributes) in otlp_json::logs(&body) {
            *delivered.entry(attributes["log.record.uid"].clone()).or_default() += 1;
        }
    }
    let twice = delivered.values().filter(|times| **times > 1).count();
    assert_eq!(
        (delivered.len(), twice),
        (finished.records.len(), 0),
        "records at the server, and those delivered twice"
    );
    let is_restart = |line: &&str| line.contains(IN_EFFECT) && line.contains("receiver");
    assert_eq!(finished.stderr.lines().filter(is_restart).count(), 0, "{}", finished.stderr);
}

fn main() -> ExitCode {
    harness::run(tests![reloads_under_load_miss_nothing])
}
