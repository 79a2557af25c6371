//! Ten thousand pods and a thousand services, and what Longwave takes to know them.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use longwave_tests::Longwave;
use longwave_tests::api_server::ApiServer;
use longwave_tests::cgroup::Cgroup;
use longwave_tests::cluster::Cluster;
use longwave_tests::faulty_proxy::{FaultyProxy, Request};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::population::{
    CHURNED, PER_SERVICE, PODS, PORT, SERVICES, address, churn, namespace, pod_name, write_all,
};
use crate::running::{admin, cluster, errors, gauge, start, until, word};
use crate::{LIMIT, WATCHED};

const ROUNDS: usize = 3;
/// Asked about by name.
const SAMPLE: usize = 50;
/// Resident growth, bytes.
const BAR: u64 = 40 << 20;
/// Pages of 250 objects, watches, and an attempt to have it streamed.
const MOST_REQUESTS: usize = (PODS + 2 * SERVICES) / 250 + 12;
/// Writing takes a while on two cores.
const LONG: Duration = Duration::from_secs(600);

/// A signal stopped it; it goes on when this is dropped.
struct Paused(Pid);

/// Addresses of pods lead to this machine while it exists.
struct Route;

/// *Scenario*: 10,000 running pods of 1,000 Deployments on 100 nodes, 1,000 services, each with its endpoints, are written into the real
/// API server; Longwave, which was running without a connection to it, gets one; then a thousand pods are replaced, three times.
/// *Guarantees*: it knows all, after one listing of each resource, and names a sample of addresses and backends as they are; its resident
/// memory has grown by at most 40 MiB, and stays below that bound while pods come and go.
#[test]
fn ten_thousand_pods_fit_into_forty_mebibytes() {
    let Some((_turn, cluster)) = cluster("ten_thousand_pods_fit_into_forty_mebibytes") else { return };
    // Controllers would remove pods whose nodes and owners are only names.
    let _paused = Paused::new(cluster.process("kube-controller-manager"));
    let server = ApiServer::of(&cluster.info);
    let token = admin(&cluster);
    let started = Instant::now();
    write_all(&server, &token);
    eprintln!("written in {:.1} s", started.elapsed().as_secs_f64());

    let proxy = FaultyProxy::new(server.clone());
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = proxy.kubeconfig(folder.path(), &token);
    let own = Cgroup::new("scale");
    let extra = json!({"receivers": {"bpf": {"cgroup": own.path()}}});
    let longwave = start(&kubeconfig, "node-7", &[PORT], extra);
    until(&longwave, "an attempt", LIMIT, || errors(&longwave, "pods", "unreachable") > 0);
    let before = resident(&longwave);

    proxy.listen();
    knows(&longwave, &cluster, "after the start");
    let mut grown = vec![("all listed", resident(&longwave).saturating_sub(before))];
    let requests = proxy.requests(0);
    let listed = requests.len();
    eprintln!("{listed} requests");
    assert!(listed <= MOST_REQUESTS, "{requests:#?}");

    names_a_sample(&longwave, &own, 0);
    for round in 1..=ROUNDS {
        churn(&server, &token, round);
        names_a_sample(&longwave, &own, round);
        knows(&longwave, &cluster, "after a round");
        grown.push(("round", resident(&longwave).saturating_sub(before)));
    }
    let later = proxy.requests(listed);
    assert!(later.iter().all(Request::resumes), "{later:#?}");
    let peak = field(&longwave, "VmHWM:").saturating_sub(before);
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    eprintln!(
        "{build} build: {} MiB before; growth, MiB: {}; at most {}",
        mib(before),
        show(&grown),
        mib(peak)
    );
    assert!(grown.iter().all(|(_, bytes)| *bytes <= BAR), "{}", show(&grown));
    longwave.stop();
    drop(_paused);
    cluster.down();
}

fn show(grown: &[(&str, u64)]) -> String {
    grown.iter().map(|(when, bytes)| format!("{when} {}", mib(*bytes))).collect::<Vec<_>>().join(", ")
}

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

/// Waits until it has as many objects as there are.
fn knows(longwave: &Longwave, cluster: &Cluster, when: &str) {
    for (resource, path) in WATCHED {
        // One object, and how many more there are.
        let list = cluster.get(&format!("{path}?limit=1"));
        let more = list["metadata"]["remainingItemCount"].as_u64().unwrap_or(0);
        let objects = more + list["items"].as_array().map_or(0, Vec::len) as u64;
        until(longwave, &format!("{objects} {resource} {when}"), LONG, || {
            gauge(longwave, "longwave_extension_kubernetes_objects", resource) as u64 == objects
        });
    }
}

/// Connects to pods' addresses; they lead to a server of the test, which Longwave does not see.
fn names_a_sample(longwave: &Longwave, own: &Cgroup, round: usize) {
    let _route = Route::new();
    let listener = TcpListener::bind(("0.0.0.0", PORT)).unwrap();
    let pods: Vec<usize> = (0..SAMPLE).map(|index| index * (PODS / SAMPLE) + index).collect();
    // The replaced ones above all.
    let pods: Vec<usize> =
        pods.into_iter().chain((0..SAMPLE).map(|index| index * (CHURNED / SAMPLE))).collect();
    let connect = |number: usize| {
        let target = SocketAddr::new(address(number, round), PORT);
        let client = TcpStream::connect(target).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        accepted.write_all(b"x").unwrap();
        (number, target, client.local_addr().unwrap().port())
    };
    // An accepted connection is its listener's cgroup's.
    let connections: Vec<_> = own.within(|| pods.into_iter().map(connect).collect());
    for (number, target, port) in connections {
        let app = number / PER_SERVICE;
        let expected = [
            ("destination.workload.name", format!("app-{app}")),
            ("destination.workload.kind", "Deployment".to_owned()),
            ("destination.k8s.namespace.name", namespace(app)),
            ("destination.k8s.pod.name", pod_name(number, round)),
            ("destination.service.name", format!("app-{app}")),
            ("destination.service.namespace", namespace(app)),
        ];
        longwave.await_lines(&format!("{target} is {expected:?}"), 0, LIMIT, |line| {
            let from = line.get("source.port").and_then(Value::as_u64);
            if from != Some(port.into()) || word(line, "destination.address") != target.ip().to_string() {
                return false;
            }
            for (key, value) in &expected {
                assert_eq!(word(line, key), value, "{key}: {line:?}");
            }
            true
        });
    }
}

/// Bytes.
fn resident(longwave: &Longwave) -> u64 {
    field(longwave, "VmRSS:")
}

fn field(longwave: &Longwave, key: &str) -> u64 {
    let path = format!("/proc/{}/status", longwave.pid().as_raw_nonzero());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

// === impl Paused ===

impl Paused {
    fn new(process: Pid) -> Self {
        kill_process(process, Signal::STOP).unwrap();
        Self(process)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

// === impl Route ===

impl Route {
    fn new() -> Self {
        assert!(ip("replace"), "ip route replace local 10.200.0.0/14 dev lo failed");
        Self
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        ip("del");
    }
}

fn ip(verb: &str) -> bool {
    let mut command = Command::new("ip");
    command.args(["route", verb, "local", "10.200.0.0/14", "dev", "lo"]);
    command.status().is_ok_and(|status| status.success())
}
