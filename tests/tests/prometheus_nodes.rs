//! Two nodes export to one Prometheus: by scraping, by OTLP, and by OTLP through a Collector.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::ExitCode;

use longwave_testing::{gate, harness, tests};
use longwave_tests::collector::{self, Collector};
use longwave_tests::longwave::{Options, free_address};
use longwave_tests::prometheus::{self, Prometheus};
use longwave_tests::{Finished, Longwave};
use serde_json::{Value, json};

/// Measures whose sums are compared: names on stdout and in Prometheus.
const MEASURES: [(&str, &str); 4] = [
    ("sent_bytes", "sent_bytes"),
    ("received_bytes", "received_bytes"),
    ("retransmits", "retransmits"),
    ("connections.opened", "connections_opened"),
];

/// Starts a node that replays the fixture as fast as it can.
fn node(name: &str, exporter: &str, section: &Value) -> Longwave {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/connections.lwr");
    let config = json!({
        "receivers": {"replay": {"path": file, "speed": "fast"}},
        "processors": {
            "workload": {"sources": ["cgroup"]},
            "window": {"interval": "1s", "levels": ["service", "workload", "connection"], "min_age": "0s"},
        },
        "exporters": {exporter: section, "stdout": {"format": "json"}},
        "service": {
            "telemetry": {"resource": {"service.instance.id": name}},
            "pipelines": {"metrics": {
                "receivers": ["replay"],
                "processors": ["workload", "window"],
                "exporters": [exporter, "stdout"],
            }},
        },
    });
    Longwave::spawn(config, Options::default())
}

/// Returns the sum of a measure over the windows on stdout.
fn shown(finished: &Finished, level: &str, measure: &str) -> u64 {
    let points = finished.points.iter().filter(|point| point["level"] == level);
    points.filter_map(|point| point.get(measure)?.as_u64()).sum()
}

/// Waits until both nodes have ended, and compares Prometheus with their windows.
fn assert_sums(what: &str, nodes: [Longwave; 2], prometheus: &Prometheus) {
    let finished = nodes.map(|node| {
        let finished = node.wait(); // a replay ends by itself
        assert!(finished.status.success(), "{}", finished.stderr);
        finished
    });
    for level in ["service", "workload", "connection"] {
        for (shown_as, name) in MEASURES {
            let expected: u64 = finished.iter().map(|node| shown(node, level, shown_as)).sum();
            let selector = format!("longwave_tcp_{level}_{name}_total");
            prometheus.assert_increase(what, &selector, expected);
            assert_eq!(prometheus.resets(&selector).unwrap(), 0, "{what}: {selector}");
        }
    }
    assert!(shown(&finished[0], "workload", "sent_bytes") > 0);
}

/// *Scenario*: two nodes with the same workloads, scraped by Debian's Prometheus and by a current one.
/// *Guarantees*: the sums over both nodes equal the sums of their windows, at every level. No series of one node replaces one of the other.
fn scraped() {
    prometheus::require();
    let _turn = gate::alone();
    let addresses = [free_address(), free_address()];
    let targets = addresses.map(|address| address.to_string());
    let config = json!({
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "longwave", "static_configs": [{"targets": targets}]}],
    });
    // One after the other, because a node ends after its first scrape.
    for is_current in [false, true] {
        let prometheus =
            if is_current { Prometheus::start_current(&[], &config) } else { Prometheus::start(&config) };
        let mut nodes = addresses.into_iter().zip(["node-1", "node-2"]).map(|(address, name)| {
            let section = json!({"endpoint": address.to_string(), "final_scrape_timeout": "60s"});
            node(name, "prometheus", &section)
        });
        let nodes = [nodes.next().unwrap(), nodes.next().unwrap()];
        assert_sums(if is_current { "current" } else { "debian" }, nodes, &prometheus);
    }
}

/// *Scenario*: two nodes with the same workloads send OTLP to a current Prometheus, directly and through a Collector.
/// *Guarantees*: the same as for [`scraped`].
fn received() {
    let collector = collector::binary();
    let _turn = gate::alone();
    let start = || Prometheus::start_current(&["--web.enable-otlp-receiver"], &json!({}));
    let direct = start();
    let section = json!({"endpoint": format!("http://{}/api/v1/otlp", direct.address)});
    let nodes = ["node-1", "node-2"].map(|name| node(name, "otlp_http", &section));
    assert_sums("direct", nodes, &direct);

    let collected = start();
    let mut collector = Collector::towards(collector, &format!("http://{}/api/v1/otlp", collected.address));
    collector.start();
    let section = json!({"endpoint": collector.grpc.to_string(), "tls": {"insecure": true}});
    let nodes = ["node-1", "node-2"].map(|name| node(name, "otlp_grpc", &section));
    assert_sums("collected", nodes, &collected);
    collector.stop();
}

fn main() -> ExitCode {
    harness::run(tests![scraped, received])
}
