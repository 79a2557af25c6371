//! The page of self-telemetry.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use longwave_testing::{gate, harness, tests};
use longwave_tests::longwave::free_address;
use longwave_tests::prometheus::Prometheus;
use longwave_tests::telemetry::Metrics;
use longwave_tests::{Longwave, balance, config, http, prometheus};
use serde_json::{Value, json};

fn main() -> ExitCode {
    harness::run(tests![
        privileged_the_page_is_clean_for_promtool,
        privileged_prometheus_reads_the_page,
        privileged_every_series_exists_from_the_start,
        privileged_what_a_filter_excludes_is_no_drop,
    ])
}

const LIMIT: Duration = Duration::from_secs(60);

/// Returns a configuration with every processor, an exporter whose server is down, and extensions. `folder` is for its files.
fn everything(folder: &Path) -> Value {
    let names = folder.join("names.yaml");
    std::fs::write(&names, "rules: [{cidrs: [192.0.2.0/24], service: {name: web}}]").unwrap();
    let base = config::logs_and_windows(json!({"interval": "200ms"}), json!({"interval": "1s"}));
    let no_retry = json!({"enabled": false});
    let otlp = json!({"endpoint": free_address().to_string(), "tls": {"insecure": true}, "retry_on_failure": no_retry});
    let processors = ["filter", "workload", "service", "window"];
    config::merged(
        base,
        json!({
            "extensions": {"health_check": {"endpoint": free_address().to_string()}, "static": {"file": names}},
            "processors": {"filter": {"exclude": {"ports": [9]}}, "service": {"sources": ["static"]}},
            "exporters": {"otlp_grpc": otlp},
            "service": {
                "extensions": ["health_check", "static"],
                "pipelines": {
                    "logs": {"exporters": ["stdout/logs", "otlp_grpc"]},
                    "metrics": {"processors": processors, "exporters": ["stdout/metrics", "otlp_grpc"]},
                },
            },
        }),
    )
}

/// Reads the page until `done` returns true.
fn await_page(longwave: &Longwave, done: impl Fn(&Metrics) -> bool) -> Metrics {
    let end = Instant::now() + LIMIT;
    loop {
        let page = longwave.telemetry();
        if done(&page) {
            return page;
        }
        assert!(Instant::now() < end, "{}", page.show());
        std::thread::sleep(Duration::from_millis(50)); // the page is a snapshot: there is no event to wait for
    }
}

/// Opens a connection to `longwave` and closes it.
fn connect_once() {
    let sink = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(sink.local_addr().unwrap()).unwrap();
    drop((sink.accept().unwrap(), client));
}

/// *Scenario*: Longwave with every processor, two exporters and an extension.
/// *Guarantees*: `promtool check metrics` has nothing to criticise: suffixes, units, types and descriptions are those of Prometheus.
fn privileged_the_page_is_clean_for_promtool() {
    let _turn = gate::privileged();
    prometheus::require();
    let folder = tempfile::tempdir().unwrap();
    let longwave = Longwave::start(everything(folder.path()));
    await_page(&longwave, |page| page.has("longwave_receiver_pass_duration_seconds_count"));
    prometheus::check_page(longwave.telemetry_address());
    let open_metrics = "application/openmetrics-text;version=1.0.0";
    let (_, page) = http::get(longwave.telemetry_address(), "/metrics", open_metrics).unwrap();
    for expected in [
        "# UNIT process_cpu_seconds seconds\n",
        "# TYPE target info\n",
        "target_info{",
        "longwave_receiver_pass_duration_seconds_bucket{",
        "longwave_receiver_accepted_records_created{",
    ] {
        assert!(page.contains(expected), "no {expected:?} in\n{page}");
    }
    assert!(page.ends_with("# EOF\n"), "{page}");
    longwave.stop();
}

/// *Scenario*: Debian's Prometheus scrapes the page, which it gets as OpenMetrics, and a current one scrapes it as protobuf.
/// *Guarantees*: both store counters, gauges, the histogram and `target_info`, under the same names, and with the values of the page.
fn privileged_prometheus_reads_the_page() {
    let _turn = gate::privileged();
    prometheus::require();
    let folder = tempfile::tempdir().unwrap();
    let longwave = Longwave::start(everything(folder.path()));
    await_page(&longwave, |page| page.has("longwave_receiver_pass_duration_seconds_count"));
    let target = longwave.telemetry_address().to_string();
    let job = json!({"job_name": "longwave", "static_configs": [{"targets": [target]}]});
    let protobuf = config::merged(job.clone(), json!({"scrape_protocols": ["PrometheusProto"]}));
    let config = |job| json!({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]});
    let servers = [Prometheus::start(&config(job)), Prometheus::start_current(&[], &config(protobuf))];
    let capacity = longwave.telemetry().sum("longwave_exporter_queue_capacity", &[]) as f64;
    for server in &servers {
        server.await_targets(1);
        for expression in [
            "longwave_receiver_passes_total > 0",
            "longwave_receiver_pass_duration_seconds_count > 0",
            "longwave_receiver_pass_duration_seconds_bucket{le=\"+Inf\"} > 0",
            "process_cpu_seconds_total > 0",
            "process_resident_memory_bytes > 1e6",
            "process_start_time_seconds > 1.7e9",
            "target_info{service_name=\"longwave\"} == 1",
            &format!("sum(longwave_exporter_queue_capacity) == {capacity}"),
            "longwave_exporter_send_failed_metric_points_total{reason=\"queue_full\"} == 0",
        ] {
            let found = server.query(expression).unwrap();
            assert!(!found.is_empty(), "{expression} has no result");
        }
    }
    longwave.stop();
}

/// *Scenario*: the page right after the start, and after the export to a server that is down has failed in both pipelines.
/// *Guarantees*: every series of counters and gauges existed from the start, those of failures with the value 0. Only the histogram begins
/// with the first pass.
fn privileged_every_series_exists_from_the_start() {
    let _turn = gate::privileged();
    let folder = tempfile::tempdir().unwrap();
    let longwave = Longwave::start(everything(folder.path()));
    let series = |page: &Metrics| -> BTreeSet<String> {
        let samples = page.samples.iter().map(|sample| format!("{} {:?}", sample.name, sample.labels));
        samples.filter(|text| !text.starts_with("longwave_receiver_pass_duration_seconds")).collect()
    };
    let first = longwave.telemetry();
    let failed = |page: &Metrics, unit: &str| {
        let name = format!("longwave_exporter_send_failed_{unit}");
        page.sum(&name, &[("exporter", "otlp_grpc"), ("reason", "retries_exhausted")])
    };
    connect_once();
    let page =
        await_page(&longwave, |page| failed(page, "log_records") > 0 && failed(page, "metric_points") > 0);
    let new: Vec<_> = series(&page).difference(&series(&first)).cloned().collect();
    assert!(new.is_empty(), "these series did not exist from the start: {new:#?}");
    balance::assert_balances(&longwave);
    longwave.stop();
}

/// *Scenario*: a filter excludes all connections of a port, and some are made.
/// *Guarantees*: they are counted as filtered, with their bytes, and not as dropped; the accounting balances.
fn privileged_what_a_filter_excludes_is_no_drop() {
    let _turn = gate::privileged();
    let server = Longwave::start(config::merged(
        config::logs(json!({"interval": "200ms"})),
        json!({
            "processors": {"filter": {"exclude": {"ports": ["1-65535"]}}},
            "service": {"pipelines": {"logs": {"processors": ["filter"]}}},
        }),
    ));
    connect_once();
    let filtered = |page: &Metrics| page.sum("longwave_processor_filtered_items", &[("processor", "filter")]);
    let page = await_page(&server, |page| filtered(page) > 0);
    let is_filtered = |(_, value): &(&String, &String)| value.as_str() == "filtered";
    let dropped = page.samples.iter().filter(|sample| sample.labels.iter().any(|label| is_filtered(&label)));
    assert_eq!(dropped.count(), 0, "{}", page.show());
    assert_eq!(page.sum("longwave_processor_dropped_items", &[]), 0, "{}", page.show());
    balance::assert_balances(&server);
    server.stop();
}
