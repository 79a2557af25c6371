//! The data that arrives through a real OpenTelemetry Collector equals the output of `stdout` in the same run.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use longwave_testing::{gate, harness, tests};
use longwave_tests::collector::{self, Collector};
use longwave_tests::http_sink::HttpSink;
use longwave_tests::longwave::Options;
use longwave_tests::otlp_json::{self, FlatLog, FlatPoint, Temporality};
use longwave_tests::{Family, Finished, Longwave, Network, balance, config, scenario};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

/// Returns the configuration of the exporter for `protocol` (`grpc` or `http`).
fn exporter(collector: &Collector, protocol: &str, compression: &str) -> (&'static str, Value) {
    match protocol {
        "grpc" => (
            "otlp_grpc",
            json!({"endpoint": collector.grpc.to_string(), "tls": {"insecure": true}, "compression": compression}),
        ),
        _ => (
            "otlp_http",
            json!({"endpoint": format!("http://{}", collector.http), "compression": compression}),
        ),
    }
}

/// Adds `exporter` to both pipelines of `base`.
fn with_exporter(base: Value, id: &str, section: Value) -> Value {
    let mut pipelines = base["service"]["pipelines"].clone();
    for pipeline in pipelines.as_object_mut().unwrap().values_mut() {
        pipeline["exporters"].as_array_mut().unwrap().push(json!(id));
    }
    config::merged(base, json!({"exporters": {id: section}, "service": {"pipelines": pipelines}}))
}

fn replay() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/connections.lwr");
    let base = config::logs_and_windows(
        json!({}),
        json!({"interval": "1s", "levels": ["service", "workload", "connection"], "min_age": "0s"}),
    );
    let mut base = config::merged(base, json!({"receivers": {"replay": {"path": file, "speed": "fast"}}}));
    base["receivers"].as_object_mut().unwrap().remove("bpf");
    for pipeline in base["service"]["pipelines"].as_object_mut().unwrap().values_mut() {
        pipeline["receivers"] = json!(["replay"]);
    }
    base
}

/// Returns the points and logs on the stdout of a run.
fn shown(finished: &Finished) -> (BTreeSet<FlatPoint>, BTreeSet<FlatLog>) {
    (
        finished.points.iter().flat_map(otlp_json::stdout_points).collect(),
        finished.lines.iter().map(otlp_json::stdout_log).collect(),
    )
}

/// Returns the points and logs that arrived at the sink, and the temporality of each metric.
fn arrived(sink: &HttpSink) -> (BTreeSet<FlatPoint>, BTreeSet<FlatLog>, BTreeMap<String, Temporality>) {
    let (mut points, mut logs, mut temporalities) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
    for (path, body) in sink.bodies() {
        if path.ends_with("/v1/metrics") {
            let (flat, kinds) = otlp_json::points(&body);
            points.extend(flat);
            temporalities.extend(kinds);
        } else {
            logs.extend(otlp_json::logs(&body));
        }
    }
    (points, logs, temporalities)
}

/// Fails if two sets differ, with the first differences.
fn assert_same<T: Ord + std::fmt::Debug>(what: &str, arrived: &BTreeSet<T>, shown: &BTreeSet<T>) {
    assert!(!shown.is_empty(), "stdout shows no {what}");
    let first = |from: &BTreeSet<T>, other: &BTreeSet<T>| -> String {
        from.difference(other).take(3).map(|item| format!("{item:#?}\n")).collect()
    };
    assert!(
        arrived == shown,
        "{what}: {} arrived, stdout shows {}\nonly arrived:\n{}only on stdout:\n{}",
        arrived.len(),
        shown.len(),
        first(arrived, shown),
        first(shown, arrived)
    );
}

fn assert_equal(sink: &HttpSink, finished: &Finished, counters: Temporality) {
    let (shown_points, shown_logs) = shown(finished);
    let (points, logs, temporalities) = arrived(sink);
    assert_same("logs", &logs, &shown_logs);
    match counters {
        Temporality::Delta => assert_same("metric points", &points, &shown_points),
        _ => assert_accumulated(&points, &shown_points),
    }
    for (name, temporality) in temporalities {
        let expected = if name.ends_with("connections.active") {
            Temporality::Cumulative
        } else if name.ends_with("min_rtt") {
            Temporality::None
        } else {
            counters
        };
        assert_eq!(temporality, expected, "{name}");
    }
}

/// Fails unless each cumulative counter, and each count of a histogram, is the sum of the deltas since its start.
fn assert_accumulated(arrived: &BTreeSet<FlatPoint>, shown: &BTreeSet<FlatPoint>) {
    let count = |point: &FlatPoint| point.value.split('/').next().and_then(|count| count.parse::<u64>().ok());
    let sums = || arrived.iter().filter(|point| point.start > 0);
    assert!(sums().count() > 0, "no counter arrived");
    for point in sums() {
        let since_start = shown.iter().filter(|delta| {
            delta.name == point.name
                && delta.attributes == point.attributes
                && delta.start >= point.start
                && delta.end <= point.end
        });
        assert_eq!(count(point), Some(since_start.filter_map(count).sum()), "{point:#?}");
    }
}

/// Returns options with which every line is kept, so that logs can be compared completely.
fn lines() -> Options {
    Options { lines: true, ..Options::default() }
}

/// Replays the fixture through a Collector.
fn replayed(protocol: &str, compression: &str, extra: Value, counters: Temporality) {
    let binary = collector::binary();
    let _turn = gate::alone();
    let sink = HttpSink::start();
    let mut collector = Collector::towards(binary, sink.address);
    collector.start();
    let (id, section) = exporter(&collector, protocol, compression);
    let longwave = Longwave::spawn(with_exporter(replay(), id, config::merged(section, extra)), lines());
    let finished = longwave.wait(); // a replay ends by itself
    assert!(finished.status.success(), "{}", finished.stderr);
    collector.stop();
    assert_equal(&sink, &finished, counters);
}

/// *Scenario*: recorded connections, metrics and logs, over gRPC without compression.
/// *Guarantees*: values, times, attributes and temporality are those on stdout.
fn replay_over_grpc() {
    replayed("grpc", "none", json!({}), Temporality::Delta);
}

/// *Scenario*: the same, compressed.
/// *Guarantees*: the same.
fn replay_over_grpc_gzip() {
    replayed("grpc", "gzip", json!({}), Temporality::Delta);
}

/// *Scenario*: the same over HTTP without compression.
/// *Guarantees*: the same.
fn replay_over_http() {
    replayed("http", "none", json!({}), Temporality::Delta);
}

/// *Scenario*: the same over HTTP, compressed.
/// *Guarantees*: the same.
fn replay_over_http_gzip() {
    replayed("http", "gzip", json!({}), Temporality::Delta);
}

/// *Scenario*: the exporter is configured for cumulative sums.
/// *Guarantees*: every counter and histogram is marked as cumulative, and is the sum of the deltas since its start.
fn replay_cumulative() {
    let extra = json!({"temporality": "cumulative"});
    replayed("grpc", "gzip", extra, Temporality::Cumulative);
}

/// *Scenario*: live connections of this host over both protocols, one after the other.
/// *Guarantees*: the same as for recorded ones.
fn live() {
    let binary = collector::binary();
    let _turn = gate::privileged();
    for protocol in ["grpc", "http"] {
        let sink = HttpSink::start();
        let mut collector = Collector::towards(binary.clone(), sink.address);
        collector.start();
        let (id, section) = exporter(&collector, protocol, "gzip");
        let longwave = Longwave::start_with(with_exporter(of_this_host(), id, section), lines());
        scenario::play(&[("clean_close", scenario::clean_close), ("requests", scenario::requests)], &here());
        await_windows(&longwave, 2);
        balance::assert_balances(&longwave);
        let finished = longwave.stop();
        collector.stop();
        assert_equal(&sink, &finished, Temporality::Delta);
    }
}

fn here() -> Network {
    Network::loopback(Family::V4)
}

fn of_this_host() -> Value {
    config::logs_and_windows(
        json!({"interval": "1s"}),
        json!({"interval": "1s", "levels": ["service", "workload", "connection"], "min_age": "0s"}),
    )
}

fn await_windows(longwave: &Longwave, count: usize) {
    let mut ends = BTreeSet::new();
    longwave.await_points("windows", LIMIT, |point| {
        ends.insert(point["end"].to_string());
        ends.len() > count
    });
}

/// *Scenario*: the Collector does not run at the start, and starts two windows later.
/// *Guarantees*: the earlier exports are retried and arrive. Nothing is lost.
fn collector_comes_later() {
    let binary = collector::binary();
    let _turn = gate::privileged();
    let sink = HttpSink::start();
    let mut collector = Collector::towards(binary, sink.address);
    let (id, section) = exporter(&collector, "grpc", "none");
    let retry = json!({"retry_on_failure": {"initial_interval": "200ms", "max_interval": "1s"}});
    let longwave =
        Longwave::start_with(with_exporter(of_this_host(), id, config::merged(section, retry)), lines());
    scenario::play(&[("clean_close", scenario::clean_close)], &here());
    await_windows(&longwave, 2);
    assert!(sink.bodies().is_empty());
    collector.start();
    assert!(sink.wait(LIMIT, |bodies| !bodies.is_empty()), "nothing arrived after the Collector came up");
    await_windows(&longwave, 2);
    balance::assert_balances(&longwave);
    let finished = longwave.stop();
    collector.stop();
    assert_equal(&sink, &finished, Temporality::Delta);
}

/// *Scenario*: no process listens at the endpoint, and retries end after 1 s.
/// *Guarantees*: every item that could not be delivered is counted under its reason. The process continues to run, and stops without an
/// error.
fn endpoint_is_down() {
    let _turn = gate::privileged();
    let endpoint = longwave_tests::longwave::free_address();
    let section = json!({
        "endpoint": endpoint.to_string(),
        "tls": {"insecure": true},
        "retry_on_failure": {"initial_interval": "100ms", "max_interval": "200ms", "max_elapsed_time": "1s"},
    });
    let longwave = Longwave::start_with(with_exporter(of_this_host(), "otlp_grpc", section), lines());
    scenario::play(&[("clean_close", scenario::clean_close)], &here());
    await_windows(&longwave, 4);
    let mut page = longwave.telemetry();
    for _ in 0..100 {
        let failed = |unit: &str| {
            page.sum(&format!("longwave_exporter_send_failed_{unit}"), &[("exporter", "otlp_grpc")])
        };
        if failed("metric_points") > 0 && failed("log_records") > 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(100)); // counters have no event
        page = longwave.telemetry();
    }
    for unit in ["metric_points", "log_records"] {
        let name = format!("longwave_exporter_send_failed_{unit}");
        assert!(page.sum(&name, &[("exporter", "otlp_grpc")]) > 0, "{}", page.show());
        assert_eq!(page.label_values(&name, "reason"), ["retries_exhausted"]);
    }
    balance::assert_balances(&longwave);
    longwave.stop();
}

fn main() -> ExitCode {
    harness::run(tests![
        replay_over_grpc,
        replay_over_grpc_gzip,
        replay_over_http,
        replay_over_http_gzip,
        replay_cumulative,
        live,
        collector_comes_later,
        endpoint_is_down,
    ])
}
