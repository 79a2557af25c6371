//! The data that arrives through a real OpenTelemetry Collector equals the output of `stdout` in the same run.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use longwave_testing::{gate, harness, tests};
use longwave_tests::collector::{self, Collector};
use longwave_tests::forward_proxy::ForwardProxy;
use longwave_tests::http_sink::HttpSink;
use longwave_tests::longwave::Options;
use longwave_tests::otlp_json::{self, Differences, FlatLog, FlatPoint, Temporality};
use longwave_tests::telemetry::Metrics;
use longwave_tests::{Family, Finished, Longwave, Network, balance, config, scenario};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);
/// Interval of the windows in nanoseconds, as configured below. Windows start at its multiples.
const INTERVAL: u64 = 1_000_000_000;
/// `service.instance.id` of every Longwave.
const INSTANCE: &str = "node \"1\"";

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

/// Adds `exporter` to both pipelines of `base`, and changes the resource.
fn with_exporter(base: Value, id: &str, section: Value) -> Value {
    let mut pipelines = base["service"]["pipelines"].clone();
    for pipeline in pipelines.as_object_mut().unwrap().values_mut() {
        pipeline["exporters"].as_array_mut().unwrap().push(json!(id));
    }
    let resource = json!({"service.instance.id": INSTANCE, "service.version": null});
    let service = json!({"pipelines": pipelines, "telemetry": {"resource": resource}});
    config::merged(base, json!({"exporters": {id: section}, "service": service}))
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

/// What arrived at the sink.
#[derive(Default)]
struct Arrived {
    /// The points as they were sent.
    points: BTreeSet<FlatPoint>,
    /// The points of the windows. Equal to `points` with delta temporality.
    windows: BTreeSet<FlatPoint>,
    logs: BTreeSet<FlatLog>,
    /// By the name of the metric.
    temporalities: BTreeMap<String, Temporality>,
}

/// Returns what arrived at the sink. Fails if a sum fell, if a point arrived after a newer one of its series, or if a request does not have
/// what every request has.
fn arrived(sink: &HttpSink) -> Arrived {
    let Arrived { mut points, mut windows, mut logs, mut temporalities } = Arrived::default();
    let (mut differences, mut uids) = (Differences::default(), BTreeSet::new());
    for (path, body) in sink.bodies() {
        if path.ends_with("/v1/metrics") {
            let (mut flat, kinds) = otlp_json::points(&body);
            for point in &mut flat {
                // In its first window, Longwave starts later than the window.
                point.start -= point.start % INTERVAL;
            }
            points.extend(flat.iter().cloned());
            windows.extend(differences.of(flat, &kinds));
            temporalities.extend(kinds);
            assert_identified(&body, "resourceMetrics", "scopeMetrics");
        } else {
            for (time, event, mut attributes) in otlp_json::logs(&body) {
                // Only in OTLP: it identifies the log record.
                let uid = attributes.remove("log.record.uid").unwrap();
                assert!(uid.starts_with(&attributes["longwave.connection.id"]), "{uid}");
                assert!(uids.insert(uid.clone()), "{uid} is there twice");
                logs.insert((time, event, attributes));
            }
            assert_identified(&body, "resourceLogs", "scopeLogs");
            for log in body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap() {
                assert!(
                    log["body"]["stringValue"].as_str().is_some_and(|text| text.contains(' ')),
                    "{log:#}"
                );
            }
        }
    }
    Arrived { points, windows, logs, temporalities }
}

/// Fails unless resource and scope have the schema URL, and the resource has the instance that the tests configure.
fn assert_identified(body: &Value, resources: &str, scopes: &str) {
    let resource = &body[resources][0];
    for holder in [resource, &resource[scopes][0]] {
        let url = holder["schemaUrl"].as_str().unwrap_or_default();
        assert!(url.starts_with("https://opentelemetry.io/schemas/1."), "schema URL {url:?}");
    }
    let attributes = resource["resource"]["attributes"].as_array().unwrap();
    let value = |key: &str| {
        attributes.iter().find(|pair| pair["key"] == key).map(|pair| &pair["value"]["stringValue"])
    };
    assert_eq!(value("service.name"), Some(&json!("longwave")));
    assert_eq!(value("service.instance.id"), Some(&json!(INSTANCE)));
    assert_eq!(value("service.version"), None);
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
    let Arrived { points, windows, logs, temporalities } = arrived(sink);
    assert_same("logs", &logs, &shown_logs);
    match counters {
        Temporality::Delta => assert_same("metric points", &points, &shown_points),
        _ => {
            assert_same("metric points", &comparable(&windows), &comparable(&shown_points));
            assert_accumulated(&points, &shown_points);
        }
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

/// Returns what differences of cumulative points have in common with the points of windows. The first point of a histogram starts with the
/// series and not with the window, sums are repeated in windows without an event, and differences of fractions are not exact.
fn comparable(points: &BTreeSet<FlatPoint>) -> BTreeSet<FlatPoint> {
    let value = |point: &FlatPoint| match point.value.splitn(3, '/').collect::<Vec<_>>()[..] {
        [count, _, buckets] => format!("{count} {buckets}"),
        _ => millionths(&point.value).map_or_else(|| point.value.clone(), |number| number.to_string()),
    };
    let comparable = points.iter().map(|point| FlatPoint { start: 0, value: value(point), ..point.clone() });
    comparable.filter(|point| point.value != "0" && !point.value.starts_with("0 ")).collect()
}

/// Returns a number in millionths: sums of seconds are whole microseconds, so that this is exact.
fn millionths(number: &str) -> Option<u128> {
    let whole = number.parse::<u64>().ok().map(|whole| u128::from(whole) * 1_000_000);
    whole.or_else(|| number.parse::<f64>().ok().map(|seconds| (seconds * 1e6).round() as u128))
}

/// Fails unless each cumulative counter, and each count of a histogram, is the sum of the deltas since its start.
fn assert_accumulated(arrived: &BTreeSet<FlatPoint>, shown: &BTreeSet<FlatPoint>) {
    let count = |point: &FlatPoint| point.value.split('/').next().and_then(millionths);
    let sums = || arrived.iter().filter(|point| point.start > 0);
    assert!(sums().count() > 0, "no counter arrived");
    for point in sums() {
        let since_start = shown.iter().filter(|delta| {
            delta.name == point.name
                && delta.attributes == point.attributes
                && delta.start >= point.start
                && delta.end <= point.end
        });
        assert_eq!(count(point), Some(since_start.filter_map(count).sum::<u128>()), "{point:#?}");
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
    let mut collector = Collector::towards(binary, &format!("http://{}", sink.address));
    collector.start();
    let (id, section) = exporter(&collector, protocol, compression);
    let longwave = Longwave::spawn(with_exporter(replay(), id, config::merged(section, extra)), lines());
    let finished = longwave.wait(); // a replay ends by itself
    assert!(finished.status.success(), "{}", finished.stderr);
    collector.stop();
    assert_equal(&sink, &finished, counters);
}

/// *Scenario*: recorded connections, metrics and logs, over gRPC without compression.
/// *Guarantees*: sums are cumulative and never fall. What they add in each window, the times, attributes and logs are those on stdout.
fn replay_over_grpc() {
    replayed("grpc", "none", json!({}), Temporality::Cumulative);
}

/// *Scenario*: the same, compressed.
/// *Guarantees*: the same.
fn replay_over_grpc_gzip() {
    replayed("grpc", "gzip", json!({}), Temporality::Cumulative);
}

/// *Scenario*: the same over HTTP without compression.
/// *Guarantees*: the same.
fn replay_over_http() {
    replayed("http", "none", json!({}), Temporality::Cumulative);
}

/// *Scenario*: the same over HTTP, compressed.
/// *Guarantees*: the same.
fn replay_over_http_gzip() {
    replayed("http", "gzip", json!({}), Temporality::Cumulative);
}

/// *Scenario*: the same with every other compression, and as JSON.
/// *Guarantees*: the same.
fn replay_with_other_encodings() {
    for compression in ["zstd", "zlib", "deflate", "snappy"] {
        replayed("http", compression, json!({}), Temporality::Cumulative);
    }
    replayed("grpc", "zstd", json!({}), Temporality::Cumulative);
    for compression in ["", "gzip"] {
        replayed("http", compression, json!({"encoding": "json"}), Temporality::Cumulative);
    }
}

/// *Scenario*: the Collector has a name that only a proxy can resolve. The variables name the proxy, over gRPC and HTTP, and once `proxy_url` does
/// while the variables name a proxy that does not exist. Then the Collector is `localhost`, and the variables name the same proxy.
/// *Guarantees*: everything arrives through the proxy, over gRPC by CONNECT. `localhost` is reached without it.
fn through_a_proxy() {
    let binary = collector::binary();
    let _turn = gate::alone();
    let nowhere = longwave_tests::longwave::free_address();
    for (protocol, by_setting, local) in [
        ("grpc", false, false),
        ("http", false, false),
        ("http", true, false),
        ("grpc", false, true),
        ("http", false, true),
    ] {
        let (sink, proxy) = (HttpSink::start(), ForwardProxy::start());
        let mut collector = Collector::towards(binary.clone(), &format!("http://{}", sink.address));
        collector.start();
        let (id, mut section) = exporter(&collector, protocol, "gzip");
        let name = if local { "localhost" } else { "collector.test" };
        let endpoint = section["endpoint"].as_str().unwrap().replace("127.0.0.1", name);
        section["endpoint"] = json!(endpoint);
        if by_setting {
            section["proxy_url"] = json!(format!("http://{}", proxy.address));
        }
        let variable = if by_setting { nowhere } else { proxy.address };
        let wrapper = ["env", "NO_PROXY=other.test"].map(str::to_owned).into_iter();
        let variables = ["HTTP_PROXY", "HTTPS_PROXY"].map(|key| format!("{key}=http://{variable}"));
        let options = Options { wrapper: wrapper.chain(variables).collect(), ..lines() };
        let finished = Longwave::spawn(with_exporter(replay(), id, section), options).wait();
        assert!(finished.status.success(), "{}", finished.stderr);
        collector.stop();
        assert_equal(&sink, &finished, Temporality::Cumulative);
        let requests = proxy.requests();
        let expected = match (local, protocol) {
            (true, _) => "",
            (false, "grpc") => "CONNECT collector.test:",
            (false, _) => "POST http://collector.test:",
        };
        assert_eq!(requests.is_empty(), local, "{requests:?}");
        assert!(requests.iter().all(|line| line.starts_with(expected)), "{requests:?}");
    }
}

/// *Scenario*: the Collector requires a bearer token (`bearertokenauth`) and TLS. Longwave has the right token, and then a wrong one, over both
/// protocols.
/// *Guarantees*: with the right one everything arrives. With the wrong one nothing arrives, everything is dropped as refused, the log has one line
/// for each signal that says so, and the process ends without an error.
fn authenticated() {
    let binary = collector::binary();
    let _turn = gate::alone();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
    for (protocol, status) in [("grpc", "Unauthenticated"), ("http", "401")] {
        let sink = HttpSink::start();
        let mut collector = Collector::towards(binary.clone(), &format!("http://{}", sink.address));
        collector.require_token("right", &certificate, &key);
        collector.start();
        let (id, mut section) = exporter(&collector, protocol, "gzip");
        section["endpoint"] = json!(section["endpoint"].as_str().unwrap().replace("http://", "https://"));
        section["tls"] = json!({"ca_pem": certificate});
        section["auth"] = json!({"authenticator": "bearertokenauth"});
        let run = |token: &str| {
            let config = json!({
                "extensions": {"bearertokenauth": {"token": token}},
                "service": {"extensions": ["bearertokenauth"]},
            });
            let config = config::merged(with_exporter(replay(), id, section.clone()), config);
            let finished = Longwave::spawn(config, lines()).wait();
            assert!(finished.status.success(), "{}", finished.stderr);
            finished
        };
        let refused = run("wrong");
        assert_eq!(sink.bodies().len(), 0);
        for signal in ["metrics", "logs"] {
            let of_signal = format!("signal={signal}");
            let lines: Vec<_> = refused.stderr.lines().filter(|line| line.contains(&of_signal)).collect();
            assert!(
                lines.iter().any(|line| line.contains("dropped data") && line.contains(status)),
                "{}",
                refused.stderr
            );
            // The second one is the sum at the stop.
            assert!(lines.len() <= 2, "{}", refused.stderr);
        }
        let finished = run("right");
        collector.stop();
        assert_equal(&sink, &finished, Temporality::Cumulative);
    }
}

/// *Scenario*: the exporter is configured for delta sums.
/// *Guarantees*: every counter and histogram is marked as delta. All points are those on stdout, and arrive in the order of the windows.
fn replay_delta() {
    let extra = json!({"temporality": "delta"});
    replayed("grpc", "gzip", extra, Temporality::Delta);
}

/// *Scenario*: the exporter is configured for cumulative sums, which are also the default.
/// *Guarantees*: the same as for the default.
fn replay_cumulative() {
    let extra = json!({"temporality": "cumulative"});
    replayed("http", "gzip", extra, Temporality::Cumulative);
}

/// *Scenario*: live connections of this host over both protocols, one after the other.
/// *Guarantees*: the same as for recorded ones.
fn live() {
    let binary = collector::binary();
    let _turn = gate::privileged();
    for protocol in ["grpc", "http"] {
        let sink = HttpSink::start();
        let mut collector = Collector::towards(binary.clone(), &format!("http://{}", sink.address));
        collector.start();
        let (id, section) = exporter(&collector, protocol, "gzip");
        let longwave = Longwave::start_with(with_exporter(of_this_host(), id, section), lines());
        scenario::play(&[("clean_close", scenario::clean_close), ("requests", scenario::requests)], &here());
        await_windows(&longwave, 2);
        balance::assert_balances(&longwave);
        let finished = longwave.stop();
        collector.stop();
        assert_equal(&sink, &finished, Temporality::Cumulative);
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

/// *Scenario*: the Collector does not run at the start, and starts three windows later. Until then the queue's ten consumers retry after waits
/// of random length. Both temporalities.
/// *Guarantees*: the earlier exports are retried and arrive in the order of their windows: no sum is older or less than the one before it.
/// Nothing is lost.
fn collector_comes_later() {
    let binary = collector::binary();
    let _turn = gate::privileged();
    for (name, temporality) in [("cumulative", Temporality::Cumulative), ("delta", Temporality::Delta)] {
        let sink = HttpSink::start();
        let mut collector = Collector::towards(binary.clone(), &format!("http://{}", sink.address));
        let (id, section) = exporter(&collector, "grpc", "none");
        let retry = json!({"initial_interval": "200ms", "max_interval": "1s", "randomization_factor": 1});
        let section = config::merged(section, json!({"temporality": name, "retry_on_failure": retry}));
        let longwave = Longwave::start_with(with_exporter(of_this_host(), id, section), lines());
        scenario::play(&[("clean_close", scenario::clean_close)], &here());
        await_windows(&longwave, 3);
        assert!(sink.bodies().is_empty());
        collector.start();
        assert!(sink.wait(LIMIT, |bodies| !bodies.is_empty()), "nothing arrived after the Collector came up");
        await_windows(&longwave, 2);
        balance::assert_balances(&longwave);
        let finished = longwave.stop();
        collector.stop();
        assert_equal(&sink, &finished, temporality);
    }
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
        let mut reasons = page.label_values(&name, "reason");
        reasons.retain(|reason| page.sum(&name, &[("reason", reason)]) > 0);
        assert_eq!(reasons, ["retries_exhausted"]);
    }
    balance::assert_balances(&longwave);
    longwave.stop();
}

/// *Scenario*: 1,500 connections of this host, with one series for each of their 3,000 ends, while no Collector listens and the queues may take 8 MiB.
/// One window is larger than that. Then the connections are closed and the Collector starts.
/// *Guarantees*: at no time does a queue have more than its limit; what did not fit is counted as `queue_full`, and everything adds up. The process
/// stays small. The log has one line when the outage begins and one when it is over, for each signal. Then the queues are empty.
fn an_outage_takes_bounded_memory() {
    const QUEUE: u64 = 8 << 20;
    const MAX_RESIDENT: u64 = 300_000_000;
    let binary = collector::binary();
    let _turn = gate::privileged();
    allow_descriptors(8_000);
    let sink = HttpSink::start();
    let mut collector = Collector::towards(binary, &format!("http://{}", sink.address));
    let (id, section) = exporter(&collector, "grpc", "gzip");
    let retry = json!({"initial_interval": "200ms", "max_interval": "1s", "max_elapsed_time": "0s"});
    let queue = json!({"max_bytes": QUEUE});
    let section = config::merged(section, json!({"retry_on_failure": retry, "sending_queue": queue}));
    let longwave = Longwave::start_with(with_exporter(of_this_host(), id, section), lines());
    let network = here();
    let ends: Vec<_> = (0..1_500).map(|_| network.pair().unwrap()).collect();
    let checked_page = || {
        let page = longwave.telemetry();
        for signal in ["metrics", "logs"] {
            let of = [("exporter", id), ("signal", signal)];
            assert_eq!(page.sum("longwave_exporter_queue_limit_bytes", &of), QUEUE);
            assert!(page.sum("longwave_exporter_queue_used_bytes", &of) <= QUEUE, "{}", page.show());
        }
        assert!(page.sum("process_resident_memory_bytes", &[]) < MAX_RESIDENT, "{}", page.show());
        page
    };
    let full = [("exporter", id), ("reason", "queue_full")];
    let units = ["metric_points", "log_records"].map(|unit| format!("longwave_exporter_send_failed_{unit}"));
    await_page(checked_page, |page| units.iter().all(|name| page.sum(name, &full) > 0));
    // Two more windows, which find a full queue.
    await_windows(&longwave, 2);
    drop(ends);
    collector.start();
    await_page(checked_page, |page| page.sum("longwave_exporter_queue_used_bytes", &[("exporter", id)]) == 0);
    balance::assert_balances(&longwave);
    let finished = longwave.stop();
    collector.stop();
    for signal in ["metrics", "logs"] {
        let count = |what: &str| {
            let lines = finished.stderr.lines().filter(|line| line.contains(what));
            lines.filter(|line| line.contains(&format!("signal={signal}"))).count()
        };
        assert_eq!((count("sending fails"), count("sending succeeds again")), (1, 1), "{}", finished.stderr);
    }
    for log in ["version=", "configuration=", "pipelines=", "listening="] {
        let ready = finished.stderr.lines().find(|line| line.contains("Everything is ready"));
        assert!(ready.is_some_and(|line| line.contains(log)), "{}", finished.stderr);
    }
}

/// Raises this process's limit of descriptors to `wanted`, unless it is higher.
fn allow_descriptors(wanted: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        limit.maximum = limit.maximum.map(|maximum| maximum.max(wanted));
        setrlimit(Resource::Nofile, limit).unwrap();
    }
}

/// Reads the page until it has what the test waits for. Counters have no event.
fn await_page(read: impl Fn() -> Metrics, done: impl Fn(&Metrics) -> bool) {
    for _ in 0..600 {
        if done(&read()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("not within a minute: {}", read().show());
}

fn main() -> ExitCode {
    harness::run(tests![
        replay_over_grpc,
        replay_over_grpc_gzip,
        replay_over_http,
        replay_over_http_gzip,
        replay_with_other_encodings,
        through_a_proxy,
        authenticated,
        replay_delta,
        replay_cumulative,
        live,
        collector_comes_later,
        endpoint_is_down,
        an_outage_takes_bounded_memory,
    ])
}
