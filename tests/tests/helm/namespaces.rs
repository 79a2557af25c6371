//! The rules by which Prometheus stores only some namespaces (`scope.namespaces`), with the real Prometheus.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use longwave_tests::prometheus::{self, Prometheus};
use serde_json::{Value, json};

use crate::{KUBERNETES, chart, objects, of_kind};

/// Time limit of the first scrape.
const LIMIT: Duration = Duration::from_secs(60);

/// Series by their names of edges: source, destination and namespace of the service. Then whether they are stored.
const EDGES: [(&str, [&str; 3], bool); 8] = [
    ("inside", ["shop", "shop", "shop"], true),
    ("from", ["web", "other", "other"], true),
    ("to", ["other", "shop", "other"], true),
    ("service", ["other", "", "web"], true),
    ("unknown_client", ["", "web", ""], true),
    ("elsewhere", ["other", "other", "other"], false),
    // Names that only contain one of the namespaces.
    ("similar", ["shop-eu", "my-web", "webshop"], false),
    ("unknown", ["", "", ""], false),
];

/// *Scenario*: the chart with two namespaces in `scope`, for OpenTelemetry's and for Istio's names. Prometheus scrapes a page of eight edges
/// and `target_info` with the rules of the rendered PodMonitor.
/// *Guarantees*: the edges with an end or a service in one of the namespaces are stored, the others are not. `target_info` is stored.
pub fn limit_what_prometheus_stores() {
    prometheus::require();
    let helm = chart();
    for (naming, labels) in [
        (
            "otel",
            ["source_k8s_namespace_name", "destination_k8s_namespace_name", "destination_service_namespace"],
        ),
        (
            "istio",
            ["source_workload_namespace", "destination_workload_namespace", "destination_service_namespace"],
        ),
    ] {
        let values = json!({
            "scope": {"namespaces": ["shop", "web"]},
            "exporters": {"prometheus": {"enabled": true, "naming": naming}},
            "podMonitor": {"enabled": true},
        });
        let rendered = objects(&helm.template(KUBERNETES[0], &values).unwrap());
        let endpoints = of_kind(&rendered, "PodMonitor")["spec"]["podMetricsEndpoints"].as_array().unwrap();
        let endpoint = endpoints.iter().find(|endpoint| endpoint["port"] == "metrics").unwrap();
        let prometheus = Prometheus::start(&json!({
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [{
                "job_name": "longwave",
                "static_configs": [{"targets": [serve(page(&labels)).to_string()]}],
                "metric_relabel_configs": in_snake_case(&endpoint["metricRelabelings"]),
            }],
        }));
        let end = Instant::now() + LIMIT;
        while !prometheus.query("up == 1").is_ok_and(|up| !up.is_empty()) {
            assert!(Instant::now() < end, "{naming}: not scraped");
            std::thread::sleep(Duration::from_millis(50));
        }
        // A scrape is stored as a whole.
        let stored = prometheus.query("{edge!=\"\"}").unwrap();
        let stored: BTreeSet<String> = stored.iter().map(|series| series.labels["edge"].clone()).collect();
        let wanted = EDGES.iter().filter(|(.., is_stored)| *is_stored).map(|(name, ..)| (*name).to_owned());
        assert_eq!(stored, wanted.collect(), "{naming}");
        assert_eq!(prometheus.query("target_info").unwrap().len(), 1, "{naming}");
    }
}

/// Returns the page. An unknown name is an absent label.
fn page(labels: &[&str; 3]) -> String {
    let mut page = "target_info{host_name=\"a\"} 1\n".to_owned();
    for (edge, values, _) in EDGES {
        page.push_str(&format!("bytes_total{{edge=\"{edge}\""));
        for (label, value) in labels.iter().zip(values).filter(|(_, value)| !value.is_empty()) {
            page.push_str(&format!(",{label}=\"{value}\""));
        }
        page.push_str("} 1\n");
    }
    page
}

/// Serves the page until the test process ends.
fn serve(page: String) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let request = BufReader::new(&stream).lines().map_while(Result::ok);
            // Reads to the empty line that ends the request.
            request.take_while(|line| !line.is_empty()).for_each(drop);
            let head = format!(
                "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                page.len()
            );
            // If the connection breaks, Prometheus scrapes again.
            let _ = (&stream).write_all(format!("{head}{page}").as_bytes());
        }
    });
    address
}

/// Converts rules from the operator's spelling to that of Prometheus.
fn in_snake_case(rules: &Value) -> Value {
    let spelling =
        |key: &str| key.replace("sourceLabels", "source_labels").replace("targetLabel", "target_label");
    let rules = rules.as_array().unwrap().iter().map(|rule| {
        let fields = rule.as_object().unwrap().iter();
        Value::Object(fields.map(|(key, value)| (spelling(key), value.clone())).collect())
    });
    rules.collect()
}
