//! Ten thousand pods and a thousand services, and what Longwave takes to know them.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use longwave_tests::Longwave;
use longwave_tests::api_server::{ApiServer, Session};
use longwave_tests::cgroup::Cgroup;
use longwave_tests::cluster::Cluster;
use longwave_tests::faulty_proxy::{FaultyProxy, Request};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::running::{admin, cluster, errors, gauge, start, until, word};
use crate::{LIMIT, WATCHED};

const PODS: usize = 10_000;
const SERVICES: usize = 1_000;
const PER_SERVICE: usize = PODS / SERVICES;
const NODES: usize = 100;
const NAMESPACES: usize = 20;
/// Connections to the API server while it is written to.
const WRITERS: usize = 12;
const ROUNDS: usize = 3;
/// Pods that are deleted and made anew in a round.
const CHURNED: usize = 1_000;
/// Asked about by name.
const SAMPLE: usize = 50;
const PORT: u16 = 18080;
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

/// Runs `work` for each number below `count`, on all connections.
fn spread(server: &ApiServer, token: &str, count: usize, work: impl Fn(&mut Session, usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let mut session = server.session(token);
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    if number >= count {
                        break;
                    }
                    work(&mut session, number);
                }
            });
        }
    });
}

fn write_all(server: &ApiServer, token: &str) {
    spread(server, token, NAMESPACES, |session, number| {
        let name = namespace(number);
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        session.write("POST", "/api/v1/namespaces", &object);
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        session.write("POST", &format!("/api/v1/namespaces/{name}/serviceaccounts"), &account);
    });
    spread(server, token, PODS, |session, number| write_pod(session, number, 0));
    spread(server, token, SERVICES, write_service);
}

fn namespace(app: usize) -> String {
    format!("team-{}", app % NAMESPACES)
}

fn address(number: usize, round: usize) -> IpAddr {
    // A new pod has a new address.
    let host = number + if number < CHURNED { round * PODS } else { 0 };
    IpAddr::from([10, 201 + (host >> 16) as u8, (host >> 8) as u8, host as u8])
}

fn pod_name(number: usize, round: usize) -> String {
    let round = if number < CHURNED { round } else { 0 };
    format!("app-{}-7d4b9c6f5d-{round}{:04}", number / PER_SERVICE, number % PODS)
}

/// As a kubelet would tell of it: two requests.
fn write_pod(session: &mut Session, number: usize, round: usize) {
    let app = number / PER_SERVICE;
    let (name, namespace) = (pod_name(number, round), namespace(app));
    let collection = format!("/api/v1/namespaces/{namespace}/pods");
    let uid = format!("{app:08x}-0000-4000-8000-000000000000");
    let environment: Vec<Value> = (0..10)
        .map(|index| json!({"name": format!("SETTING_{index}"), "value": format!("value {index} of {app}")}))
        .collect();
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {
                "app.kubernetes.io/name": format!("app-{app}"),
                "app.kubernetes.io/version": "1.2.3",
                "pod-template-hash": "7d4b9c6f5d",
            },
            "annotations": {"prometheus.io/scrape": "true", "checksum/config": "9f86d081884c7d659a2feaa0c55ad015"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("app-{app}-7d4b9c6f5d"), "uid": uid,
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "nodeName": format!("node-{}", number % NODES),
            "containers": [{
                "name": "main",
                "image": format!("registry.example.com/team/app-{app}:1.2.3"),
                "ports": [{"containerPort": PORT}],
                "env": environment,
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            }],
        },
    });
    session.write("POST", &collection, &pod);
    let address = address(number, round);
    let since = "2026-01-02T03:04:05Z";
    let container = format!("containerd://{:064x}", (round << 32) + number + 1);
    let conditions = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
        .map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": since}));
    let status = json!({
        "phase": "Running",
        "hostIP": format!("10.190.0.{}", number % NODES),
        "hostIPs": [{"ip": format!("10.190.0.{}", number % NODES)}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": since,
        "conditions": conditions,
        "containerStatuses": [{
            "name": "main", "ready": true, "started": true, "restartCount": 0, "containerID": container,
            "image": format!("registry.example.com/team/app-{app}:1.2.3"),
            "imageID": format!("registry.example.com/team/app-{app}@sha256:{:064x}", app),
            "state": {"running": {"startedAt": since}},
        }],
    });
    session.write("PATCH", &format!("{collection}/{name}/status"), &json!({"status": status}));
}

/// And its endpoints, as the controller would write them.
fn write_service(session: &mut Session, number: usize) {
    let (name, namespace) = (format!("app-{number}"), namespace(number));
    // Not for kube-proxy.
    let labels = json!({
        "service.kubernetes.io/service-proxy-name": "none",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": name,
    });
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels},
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": PORT}]},
    });
    session.write("POST", &format!("/api/v1/namespaces/{namespace}/services"), &service);
    write_slice(session, number, 0);
}

fn write_slice(session: &mut Session, number: usize, round: usize) {
    let (name, namespace) = (format!("app-{number}"), namespace(number));
    let endpoints: Vec<Value> = (number * PER_SERVICE..(number + 1) * PER_SERVICE)
        .map(|pod| {
            json!({
                "addresses": [address(pod, round)],
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "nodeName": format!("node-{}", pod % NODES),
                "targetRef": {"kind": "Pod", "namespace": namespace, "name": pod_name(pod, round)},
            })
        })
        .collect();
    let collection = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
    if round > 0 {
        session.write("PATCH", &format!("{collection}/{name}-abcde"), &json!({"endpoints": endpoints}));
        return;
    }
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{name}-abcde"),
            "labels": {
                "kubernetes.io/service-name": name,
                "service.kubernetes.io/service-proxy-name": "none",
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": PORT, "protocol": "TCP"}],
        "endpoints": endpoints,
    });
    session.write("POST", &collection, &slice);
}

/// Replaces pods, with new names and addresses.
fn churn(server: &ApiServer, token: &str, round: usize) {
    let started = Instant::now();
    spread(server, token, CHURNED, |session, number| {
        let namespace = namespace(number / PER_SERVICE);
        let path = format!("/api/v1/namespaces/{namespace}/pods/{}", pod_name(number, round - 1));
        session.write("DELETE", &path, &json!({"gracePeriodSeconds": 0}));
        write_pod(session, number, round);
    });
    spread(server, token, CHURNED / PER_SERVICE, |session, number| write_slice(session, number, round));
    eprintln!("round {round}: {CHURNED} pods replaced in {:.1} s", started.elapsed().as_secs_f64());
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
        let client = own.within(|| TcpStream::connect(target).unwrap());
        let (mut accepted, _) = listener.accept().unwrap();
        accepted.write_all(b"x").unwrap();
        (number, target, client.local_addr().unwrap().port())
    };
    let connections: Vec<_> = pods.into_iter().map(connect).collect();
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
