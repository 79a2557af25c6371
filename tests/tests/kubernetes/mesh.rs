//! Longwave with the examples for Kiali and Kmesh, and a real Prometheus that scrapes both. The queries are those of Kiali's graph and of
//! Kmesh's dashboard.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use longwave_tests::Longwave;
use longwave_tests::cluster::Cluster;
use longwave_tests::config::merged;
use longwave_tests::longwave::free_address;
use longwave_tests::prometheus::{Prometheus, Series};
use serde_json::{Value, json};

use crate::ClientPod;

/// Labels by which Kiali's graph groups TCP traffic.
const KIALI: &str = "source_cluster, source_workload_namespace, source_workload, source_canonical_service, \
     source_canonical_revision, destination_cluster, destination_service_namespace, destination_service, \
     destination_service_name, destination_workload_namespace, destination_workload, \
     destination_canonical_service, destination_canonical_revision, response_flags";

/// Labels by which Kmesh's dashboard groups TCP traffic.
const KMESH: &str = "connection_security_policy, destination_service, source_workload, source_workload_namespace, \
     destination_workload, destination_workload_namespace, destination_cluster";

/// Time limit for the last bytes to arrive.
const LIMIT: Duration = Duration::from_secs(60);

/// Two Longwaves on the node, and Prometheus.
pub struct Mesh {
    prometheus: Prometheus,
    longwaves: [Longwave; 2],
}

/// An edge of the graph: labels and bytes.
type Edges = BTreeMap<BTreeSet<(String, String)>, f64>;

// === impl Mesh ===

impl Mesh {
    /// Starts all and waits until both have been scraped.
    pub fn start(cluster: &Cluster) -> Self {
        let addresses = [free_address(), free_address()];
        let start = |(name, address): (&str, SocketAddr)| Longwave::start(example(name, cluster, address));
        let longwaves = [("kiali", addresses[0]), ("kmesh", addresses[1])].map(start);
        let targets = addresses.map(|address| address.to_string());
        let prometheus = Prometheus::start(&json!({
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [{"job_name": "longwave", "static_configs": [{"targets": targets}]}],
        }));
        prometheus.await_targets(targets.len());
        Self { prometheus, longwaves }
    }

    /// Returns the edges of the clients' traffic, by the labels of a `by` clause.
    fn edges(&self, metric: &str, reporter: &str, by: &str) -> Edges {
        let selector = format!("{metric}{{reporter=\"{reporter}\", source_workload=~\"client|nightly\"}}");
        let expression = format!("sum(max_over_time({selector}[1h])) by ({by})");
        let edges = self.prometheus.query(&expression).unwrap();
        edges.into_iter().map(|Series { labels, value }| (labels.into_iter().collect(), value)).collect()
    }

    /// Asserts that Kiali's queries show each edge of the clients once, with the same labels by both reporters and the bytes that the
    /// clients counted, and that Kmesh's show the same traffic.
    pub fn assert_edges(self, clients: &[ClientPod]) {
        let accounts = || clients.iter().flat_map(|client| &client.accounts);
        let written: u64 = accounts().map(|account| account.written).sum();
        let end = Instant::now() + LIMIT;
        let requests = |reporter| self.edges("istio_tcp_received_bytes_total", reporter, KIALI);
        while requests("source").values().sum::<f64>() < written as f64 {
            assert!(Instant::now() < end, "not all bytes arrived: {:#?}", requests("source"));
            std::thread::sleep(Duration::from_millis(500));
        }
        let responses = |reporter| self.edges("istio_tcp_sent_bytes_total", reporter, KIALI);
        for (reporter, requests, responses) in [
            ("source", requests("source"), responses("source")),
            ("destination", requests("destination"), responses("destination")),
        ] {
            assert_whole(&requests);
            for client in clients {
                for target in ["web", "db", "host-a", "host-b", "payments-gateway"] {
                    // Longwave on the node does not know names.yaml, so that the server outside has no name.
                    if target == "payments-gateway" {
                        continue;
                    }
                    let source = client.workload[0];
                    let of_edge = client
                        .accounts
                        .iter()
                        .filter(|account| crate::expected(&account.target).workload[0] == target);
                    let (written, read) = of_edge.fold((0, 0), |(w, r), a| (w + a.written, r + a.read));
                    let edge = format!("{source} → {target} by {reporter}");
                    assert_eq!(only(&requests, source, target), Some(written as f64), "requests of {edge}");
                    assert_eq!(only(&responses, source, target), Some(read as f64), "responses of {edge}");
                }
            }
        }
        // An edge with other labels by the other reporter would be shown twice.
        let named = |edges: Edges| -> BTreeSet<_> {
            edges.into_keys().filter(|labels| label(labels, "destination_workload") != "unknown").collect()
        };
        assert_eq!(named(requests("source")), named(requests("destination")));

        for reporter in ["source", "destination"] {
            for edge in named(requests(reporter)) {
                let (source, target) =
                    (label(&edge, "source_workload"), label(&edge, "destination_workload"));
                // Each Longwave has its own windows, so that Kmesh's may arrive after Istio's.
                let end = Instant::now() + LIMIT;
                let sent = || self.edges("kmesh_tcp_sent_bytes_total", reporter, KMESH);
                while only(&sent(), source, target).is_none() {
                    assert!(Instant::now() < end, "Kmesh: {source} → {target} in {:#?}", sent());
                    std::thread::sleep(Duration::from_millis(500));
                }
            }
        }
        for longwave in self.longwaves {
            longwave.stop();
        }
    }
}

/// Returns a shipped example with the cluster's addresses.
fn example(name: &str, cluster: &Cluster, address: SocketAddr) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../config/examples/{name}.yaml"));
    let shipped: Value = serde_yaml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let ours = json!({
        "extensions": {"kubernetes": {"kubeconfig": cluster.info.kubeconfig, "node": cluster.info.node}},
        "exporters": {"prometheus": {"endpoint": address.to_string()}},
        "service": {"telemetry": {"resource": {"k8s.cluster.name": "east"}}},
    });
    merged(shipped, ours)
}

/// Asserts what Kiali needs to show an edge.
fn assert_whole(edges: &Edges) {
    for labels in edges.keys() {
        for (name, value) in labels {
            assert!(!value.is_empty(), "{name} is empty: {labels:#?}");
        }
        let (service, namespace) =
            (label(labels, "destination_service"), label(labels, "destination_service_namespace"));
        assert!(
            service == "unknown" || service.contains(&format!(".{namespace}.svc.cluster.local")),
            "the service is not fully qualified: {labels:#?}"
        );
        assert_eq!(label(labels, "response_flags"), "-");
        assert_eq!(label(labels, "source_cluster"), "east");
        assert_eq!(label(labels, "source_canonical_service"), label(labels, "source_workload"));
        assert_eq!(label(labels, "source_canonical_revision"), "latest");
    }
}

/// Returns the bytes of the only edge between two workloads.
fn only(edges: &Edges, source: &str, destination: &str) -> Option<f64> {
    let mut found = edges.iter().filter(|(labels, _)| {
        label(labels, "source_workload") == source && label(labels, "destination_workload") == destination
    });
    let (_, bytes) = found.next()?;
    found.next().is_none().then_some(*bytes)
}

fn label<'a>(labels: &'a BTreeSet<(String, String)>, wanted: &str) -> &'a str {
    labels.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value)
}
