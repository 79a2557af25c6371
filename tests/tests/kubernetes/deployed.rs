//! Longwave, deployed with the manifests in docker/kubernetes, exporting to the real Collector. An overlay sets the same values that users
//! set: the name of the image, the address of the Collector, and names.yaml.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use longwave_tests::cluster::Cluster;
use longwave_tests::collector::Collector;
use longwave_tests::http_sink::HttpSink;
use longwave_tests::longwave::READY;
use longwave_tests::otlp_json::{self, Differences, FlatLog, FlatPoint};
use serde_json::{Value, json};

/// API path of the pods in the namespace of Longwave.
const PODS: &str = "/api/v1/namespaces/longwave/pods";
const IMAGE: &str = "longwave/longwave";
/// Line of the shipped configuration that selects the exported events.
const SHIPPED_EVENTS: &str = "events: [close, fail, vanished]";

/// Longwave in the cluster.
pub struct Deployed {
    sink: HttpSink,
    collector: Collector,
    names: String,
    /// Name of its only pod.
    pub pod: String,
}

// === impl Deployed ===

impl Deployed {
    /// Builds the image, applies the manifests with `names` as names.yaml, and waits until Longwave runs.
    pub fn new(cluster: &Cluster, collector: PathBuf, names: &str) -> Self {
        let sink = HttpSink::start();
        let mut collector = Collector::towards(collector, &format!("http://{}", sink.address));
        collector.start();
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("longwave.tar");
        cluster.image("bin:longwave", &format!("{IMAGE}:e2e"), &archive);
        cluster.load(&archive);
        let mut deployed = Self { sink, collector, names: names.to_owned(), pod: String::new() };
        deployed.apply(cluster, None);
        deployed
    }

    /// Changes the configuration so that all events are reported, which restarts the pod.
    pub fn report_all_events(&mut self, cluster: &Cluster) {
        let shipped = std::fs::read_to_string(manifests().join("config.yaml")).unwrap();
        let all = shipped.replace(SHIPPED_EVENTS, "events: [open, update, close, fail, vanished]");
        assert_ne!(all, shipped, "config.yaml has no line {SHIPPED_EVENTS:?} any more");
        self.apply(cluster, Some(&all));
    }

    /// Applies the manifests with the overlay, and waits for a new pod. `config` replaces the shipped configuration.
    fn apply(&mut self, cluster: &Cluster, config: Option<&str>) {
        let folder = tempfile::tempdir().unwrap();
        write_overlay(folder.path(), &self.collector.grpc.to_string(), &self.names, config);
        cluster.kubectl(&["apply", "-k", &folder.path().display().to_string()]);
        let names = |pods: &str| -> Option<Vec<String>> {
            let pods: Value = serde_json::from_str(pods).ok()?;
            let names = pods["items"].as_array()?.iter();
            Some(names.filter_map(|pod| Some(pod["metadata"]["name"].as_str()?.to_owned())).collect())
        };
        let new = |pods: &str| match names(pods)?.as_slice() {
            [only] if *only != self.pod => Some(only.clone()),
            _ => None,
        };
        let pods = cluster.wait(PODS, |pods| new(pods).is_some());
        self.pod = new(&pods).unwrap();
        cluster.wait(&format!("{PODS}/{}/log", self.pod), |log| log.contains(READY));
    }

    /// Returns the log of its pod.
    pub fn log(&self, cluster: &Cluster) -> String {
        cluster.text(&format!("{PODS}/{}/log", self.pod))
    }

    /// Waits until the logs that arrived, and the points of the windows, satisfy `done`. Returns whether they did within `limit`.
    pub fn wait(&self, limit: Duration, done: impl Fn(&[FlatLog], &[FlatPoint]) -> bool) -> bool {
        let (mut seen, mut logs, mut points) = (0, Vec::new(), Vec::new());
        let mut differences = Differences::default();
        self.sink.wait(limit, |bodies| {
            for (path, body) in &bodies[seen..] {
                match path.ends_with("/v1/metrics") {
                    true => points.extend(windows(&mut differences, body)),
                    false => logs.extend(otlp_json::logs(body)),
                }
            }
            seen = bodies.len();
            done(&logs, &points)
        })
    }

    /// Returns all logs that arrived, and the points of the windows.
    pub fn arrived(&self) -> (Vec<FlatLog>, Vec<FlatPoint>) {
        let (mut logs, mut points) = (Vec::new(), Vec::new());
        let mut differences = Differences::default();
        for (path, body) in self.sink.bodies() {
            match path.ends_with("/v1/metrics") {
                true => points.extend(windows(&mut differences, &body)),
                false => logs.extend(otlp_json::logs(&body)),
            }
        }
        (logs, points)
    }

    /// Stops the Collector.
    pub fn stop(mut self) {
        self.collector.stop();
    }
}

/// Returns the points of the windows. The shipped configuration exports cumulative sums.
fn windows(differences: &mut Differences, body: &Value) -> Vec<FlatPoint> {
    let (points, temporalities) = otlp_json::points(body);
    differences.of(points, &temporalities)
}

fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker/kubernetes").canonicalize().unwrap()
}

/// Writes an overlay of docker/kubernetes like the one in docs/DEPLOYMENT.md.
fn write_overlay(folder: &Path, endpoint: &str, names: &str, config: Option<&str>) {
    let base = manifests();
    // kustomize accepts only relative paths.
    let up: String = folder.canonicalize().unwrap().components().skip(1).map(|_| "../").collect();
    let base = format!("{up}{}", base.strip_prefix("/").unwrap().display());
    let patch = json!([{
        "op": "replace",
        "path": "/spec/template/spec/containers/0/env/2",
        "value": {"name": "OTLP_ENDPOINT", "value": endpoint},
    }]);
    let mut files = vec!["names.yaml"];
    if let Some(config) = config {
        std::fs::write(folder.join("config.yaml"), config).unwrap();
        files.push("config.yaml");
    }
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "longwave",
        "resources": [base],
        "images": [{"name": "longwave", "newName": IMAGE, "newTag": "e2e"}],
        "patches": [{"target": {"kind": "DaemonSet", "name": "longwave"}, "patch": patch.to_string()}],
        "configMapGenerator": [{"name": "longwave", "behavior": "merge", "files": files}],
    });
    std::fs::write(folder.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    std::fs::write(folder.join("names.yaml"), names).unwrap();
}

/// Returns an attribute. Empty if it is missing.
pub fn attribute<'a>(attributes: &'a BTreeMap<String, String>, key: &str) -> &'a str {
    attributes.get(key).map_or("", String::as_str)
}
