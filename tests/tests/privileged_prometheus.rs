//! What a real Prometheus computes from Longwave's metrics equals the applications' counts.
#![allow(clippy::unwrap_used)]

use std::process::ExitCode;
use std::time::Duration;

use longwave_testing::{gate, harness, tests};
use longwave_tests::collector::{self, Collector};
use longwave_tests::end::End;
use longwave_tests::longwave::free_address;
use longwave_tests::network::Listener;
use longwave_tests::prometheus::{self, Prometheus};
use longwave_tests::{Family, Longwave, Network};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

/// Counts of the applications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Bytes from clients to servers.
    requests: u64,
    /// Bytes from servers to clients.
    responses: u64,
    /// Connections, of which each has two ends.
    connections: u64,
}

/// Exchanges bytes on an open connection.
fn exchange((client, server): &mut (End, End), request: u64, response: u64, counts: &mut Counts) {
    client.write(request).unwrap();
    server.read(request).unwrap();
    server.write(response).unwrap();
    client.read(response).unwrap();
    counts.requests += request;
    counts.responses += response;
}

fn connect(network: &Network, listener: &Listener, counts: &mut Counts) -> (End, End) {
    let client = network.connect(listener.address).unwrap();
    counts.connections += 1;
    (client, listener.accept().unwrap())
}

/// Traffic of one run of Longwave: the long connection, and short ones over several windows.
fn load(
    longwave: &Longwave,
    network: &Network,
    listener: &Listener,
    long: &mut (End, End),
    size: u64,
) -> Counts {
    let mut counts = Counts::default();
    let mut windows = std::collections::BTreeSet::new();
    let mut rounds = 0;
    longwave.await_points("four windows", LIMIT, |point| {
        windows.insert(point["start"].as_str().unwrap().to_owned());
        if rounds < 30 {
            rounds += 1;
            exchange(long, size + rounds, 99, &mut counts);
            let mut short = connect(network, listener, &mut counts);
            exchange(&mut short, 777, size, &mut counts);
        }
        windows.len() > 4 && rounds == 30
    });
    counts
}

/// Scrapes Longwave every second.
fn scrapes(targets: &[String], extra: Value) -> Value {
    let job = json!({"job_name": "longwave", "static_configs": [{"targets": targets}]});
    json!({"global": {"scrape_interval": "1s"}, "scrape_configs": [longwave_tests::config::merged(job, extra)]})
}

/// *Scenario*: connections, one of which stays open. Longwave is restarted in between. Debian's Prometheus scrapes all three namings. A
/// current one scrapes protobuf, a second one receives OTLP, and a third one receives it from a Collector. All configurations are the
/// defaults except for addresses and intervals.
/// *Guarantees*: the sums of bytes and connections of each Prometheus equal those of the applications, at every level and with every
/// naming, in the right direction. A counter decreases at the restart only. Histograms are native there, with the same counts. `promtool`
/// has no complaint about the pages.
fn sums_equal_the_applications_counts() {
    let _turn = gate::privileged();
    prometheus::require();
    let otlp = ["--web.enable-otlp-receiver"];
    let receiver =
        json!({"global": {"scrape_interval": "1s"}, "otlp": {"keep_identifying_resource_attributes": true}});
    let direct = Prometheus::start_current(&otlp, &receiver);
    let collected = Prometheus::start_current(&otlp, &receiver);
    let mut collector =
        Collector::towards(collector::binary(), &format!("http://{}/api/v1/otlp", collected.address));
    collector.start();

    let pages = ["otel", "istio", "kmesh"].map(|naming| (naming, free_address()));
    let targets = pages.map(|(_, address)| address.to_string());
    let native = json!({
        "scrape_protocols": ["PrometheusProto"],
        "convert_classic_histograms_to_nhcb": true,
        "always_scrape_classic_histograms": true,
    });
    let debian = Prometheus::start(&scrapes(&targets, json!({})));
    let current = Prometheus::start_current(&[], &scrapes(&targets, native));

    let network = Network::loopback(Family::V4);
    let listener = network.listen(64).unwrap();
    let mut exporters = json!({
        "otlp_http": {"endpoint": format!("http://{}/api/v1/otlp", direct.address)},
        "otlp_grpc": {"endpoint": collector.grpc.to_string(), "tls": {"insecure": true}},
        "stdout": {"format": "json"},
    });
    for (naming, address) in pages {
        exporters[format!("prometheus/{naming}")] =
            json!({"endpoint": address.to_string(), "naming": naming, "final_scrape_timeout": "30s"});
    }
    let ids: Vec<String> = exporters.as_object().unwrap().keys().cloned().collect();
    let config = json!({
        "receivers": {"bpf": {"interval": "1s", "ports": [listener.address.port()]}},
        "processors": {
            "workload": {"sources": ["cgroup"]},
            "window": {"interval": "1s", "levels": ["service", "workload", "connection"], "min_age": "0s"},
        },
        "exporters": exporters,
        "service": {
            "telemetry": {"resource": {"service.instance.id": "node-1"}},
            "pipelines": {
                "metrics": {"receivers": ["bpf"], "processors": ["workload", "window"], "exporters": ids},
            },
        },
    });

    let first = Longwave::start(config.clone());
    for prometheus in [&debian, &current] {
        prometheus.await_targets(pages.len());
    }
    let mut opened = Counts::default();
    let mut long = connect(&network, &listener, &mut opened);
    let before = load(&first, &network, &listener, &mut long, 10_000);
    for (_, address) in pages {
        prometheus::check_page(address);
    }
    first.stop();
    // Less than before, so that Prometheus can see each reset.
    let second = Longwave::start(config);
    let after = load(&second, &network, &listener, &mut long, 1_000);
    drop(long);
    second.stop();

    let requests = before.requests + after.requests;
    let responses = before.responses + after.responses;
    let connections = opened.connections + before.connections + after.connections;
    for (name, prometheus) in
        [("debian", &debian), ("current", &current), ("direct", &direct), ("collected", &collected)]
    {
        let increase = |selector: &str| prometheus.increase(selector).unwrap();
        for level in ["service", "workload", "connection"] {
            for measure in ["sent_bytes", "received_bytes"] {
                let selector = format!("longwave_tcp_{level}_{measure}_total");
                assert_eq!(increase(&selector), requests + responses, "{name}: {selector}");
            }
            let opened = format!("longwave_tcp_{level}_connections_opened_total");
            assert_eq!(increase(&opened), 2 * connections, "{name}: {opened}");
            let closed = format!("longwave_tcp_{level}_connections_closed_total");
            assert_eq!(increase(&closed), 2 * connections, "{name}: {closed}");
        }
        let clients = increase("longwave_tcp_workload_sent_bytes_total{reporter=\"source\"}");
        assert_eq!(clients, requests, "{name}: what the clients sent");
        let resets = prometheus.resets("{__name__=~\"(longwave|istio|kmesh)_.*_total\"}").unwrap();
        assert_eq!(resets, 1, "{name}: resets of one series");
    }
    for (name, prometheus) in [("debian", &debian), ("current", &current)] {
        let increase = |selector: &str| prometheus.increase(selector).unwrap();
        for reporter in ["source", "destination"] {
            let of = |metric: &str| format!("{metric}{{reporter=\"{reporter}\"}}");
            assert_eq!(increase(&of("istio_tcp_received_bytes_total")), requests, "{name}: {reporter}");
            assert_eq!(increase(&of("istio_tcp_sent_bytes_total")), responses, "{name}: {reporter}");
            assert_eq!(
                increase(&of("istio_tcp_connections_opened_total")),
                connections,
                "{name}: {reporter}"
            );
        }
        for group in ["", "workload_", "connection_"] {
            let sent = format!("kmesh_tcp_{group}sent_bytes_total{{reporter=\"source\"}}");
            assert_eq!(increase(&sent), requests, "{name}: {sent}");
        }
    }
    let value = |expression: &str| current.query(expression).unwrap()[0].value;
    let histogram = "last_over_time(longwave_tcp_workload_rtt_seconds[1h])";
    assert_eq!(
        value(&format!("sum(histogram_count({histogram}))")),
        value("sum(last_over_time(longwave_tcp_workload_rtt_seconds_count[1h]))"),
        "native and classic histograms"
    );
    assert!(value(&format!("sum(histogram_count({histogram}))")) > 0.0);
}

fn main() -> ExitCode {
    harness::run(tests![sums_equal_the_applications_counts])
}
