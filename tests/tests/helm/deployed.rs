//! The chart on the real one-node Kubernetes.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use longwave_testing::gate;
use longwave_tests::cluster::{Cluster, ProxyMode};
use longwave_tests::helm::NAMESPACE;
use longwave_tests::telemetry::Metrics;
use serde_json::{Value, json};

use crate::{KUBERNETES, chart, docker};

const IMAGE: &str = "longwave/longwave";
const PODS: &str = "/api/v1/namespaces/longwave/pods";
const LIMIT: Duration = Duration::from_secs(120);
/// Name of the receiver's thread.
const RECEIVER: &str = "longwave-bpf";
/// Hierarchy of cgroup v1 that stops single threads.
const FREEZER: &str = "/sys/fs/cgroup/freezer";

/// A thread that does not run until this is dropped.
struct Frozen {
    thread: String,
    group: PathBuf,
    original: PathBuf,
}

/// *Scenario*: the chart with the exporter `prometheus` is applied to a cluster. Later the thread of the receiver is stopped, and then
/// continues.
/// *Guarantees*: the DaemonSet becomes Ready. Both pages for Prometheus are served at the node's address, with the connections of the node.
/// While the receiver does not run, the health check names it and the pod is not Ready. Afterwards it is Ready again, without a restart.
pub fn is_ready_until_its_receiver_stalls() {
    let _turn = gate::privileged();
    let helm = chart();
    if !Path::new(FREEZER).exists() {
        gate::skip(format!("no {FREEZER}, which could stop one thread"));
    }
    let cluster = Cluster::up(ProxyMode::Nftables);
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("longwave.tar");
    cluster.image("bin:longwave", &format!("{IMAGE}:e2e"), &archive);
    cluster.load(&archive);
    let manifest = helm.template(KUBERNETES[0], &values()).unwrap();
    let path = folder.path().join("manifest.yaml");
    fs::write(&path, manifest).unwrap();
    cluster.kubectl(&["apply", "-f", &docker().join("kubernetes/namespace.yaml").display().to_string()]);
    cluster.kubectl(&["apply", "-n", NAMESPACE, "-f", &path.display().to_string()]);
    cluster.wait_for(PODS, LIMIT, |pods| is_ready(pods) == Some(true));

    let at = |port: u16| SocketAddr::new(cluster.info.node_ip.parse().unwrap(), port);
    await_metric(at(9464), "longwave_tcp_workload_connections_active");
    await_metric(at(8888), "longwave_receiver_tracked_connections");

    let frozen = Frozen::new(RECEIVER);
    cluster.wait_for(PODS, LIMIT, |pods| is_ready(pods) == Some(false));
    let health = health(at(13133));
    assert!(health.contains("503") && health.contains("bpf"), "{health}");
    drop(frozen);
    let pods = cluster.wait_for(PODS, LIMIT, |pods| is_ready(pods) == Some(true));
    let pods: Value = serde_json::from_str(&pods).unwrap();
    assert_eq!(pods["items"][0]["status"]["containerStatuses"][0]["restartCount"], 0);
    cluster.down();
}

/// Returns the values. The liveness probe does not restart the pod while the test waits.
fn values() -> Value {
    json!({
        "image": {"repository": IMAGE, "tag": "e2e", "pullPolicy": "Never"},
        "receiver": {"interval": "1s"},
        "window": {"interval": "1s"},
        "exporters": {"otlp": {"enabled": false}, "prometheus": {"enabled": true}},
        "selfMetrics": {"expose": true},
        "livenessProbe": {"failureThreshold": 100},
    })
}

/// Returns whether the only pod is Ready. `None` if there is no such pod.
fn is_ready(pods: &str) -> Option<bool> {
    let pods: Value = serde_json::from_str(pods).ok()?;
    let [pod] = pods["items"].as_array()?.as_slice() else { return None };
    let conditions = pod["status"]["conditions"].as_array()?;
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
    Some(ready["status"] == "True")
}

/// Polls a page until it has the metric.
fn await_metric(address: SocketAddr, name: &str) {
    let end = Instant::now() + LIMIT;
    loop {
        let page = Metrics::scrape(address);
        if page.as_ref().is_ok_and(|page| page.has(name)) {
            return;
        }
        let shown = page.map(|page| page.show());
        assert!(Instant::now() < end, "http://{address}/metrics has no {name}: {shown:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Returns the response of the health check.
fn health(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "GET / HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

// === impl Frozen ===

impl Frozen {
    /// Stops the thread with this name. It must be the only one on this machine.
    fn new(name: &str) -> Self {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let tasks = processes.filter_map(|process| fs::read_dir(process.path().join("task")).ok());
        let threads: Vec<PathBuf> = tasks
            .flatten()
            .flatten()
            .map(|task| task.path())
            .filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name))
            .collect();
        let [task] = threads.as_slice() else { panic!("threads called {name}: {threads:?}") };
        let cgroups = fs::read_to_string(task.join("cgroup")).unwrap();
        let original = cgroups.lines().find_map(|line| line.split_once(":freezer:")).unwrap().1;
        let frozen = Self {
            thread: task.file_name().unwrap().to_string_lossy().into_owned(),
            group: Path::new(FREEZER).join(format!("longwave-test-{}", std::process::id())),
            original: Path::new(FREEZER).join(original.trim_start_matches('/')),
        };
        fs::create_dir(&frozen.group).unwrap();
        fs::write(frozen.group.join("tasks"), &frozen.thread).unwrap();
        fs::write(frozen.group.join("freezer.state"), "FROZEN").unwrap();
        frozen
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // The thread may have ended.
        let _ = fs::write(self.group.join("freezer.state"), "THAWED");
        let _ = fs::write(self.original.join("tasks"), &self.thread);
        let _ = fs::remove_dir(&self.group);
    }
}
