//! Memory and requests that Longwave needs for ten thousand pods and a thousand services.

use std::fmt::Display;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use longwave_testing::gate;
use longwave_tests::Longwave;
use longwave_tests::cgroup::Cgroup;
use longwave_tests::cluster::programs;
use longwave_tests::control_plane::ControlPlane;
use longwave_tests::faulty_proxy::{FaultyProxy, Request};
use longwave_tests::usage;
use rustix::process::Pid;
use serde_json::{Value, json};

use crate::informer::Informer;
use crate::population::{
    CHURNED, PER_SERVICE, PODS, PORT, SERVICES, address, churn, namespace, pod_name, write_all,
};
use crate::running::{gauge, start, timed, until, word};
use crate::{LIMIT, WATCHED};

const ROUNDS: usize = 3;
/// Number of pods whose names are checked.
const SAMPLE: usize = 50;
/// Maximum growth of resident memory, in bytes.
const MAX_GROWTH: u64 = 40 << 20;
/// Maximum number of requests for the listings: pages of 250 objects, watches, and attempts to stream.
const MAX_REQUESTS: usize = (PODS + 2 * SERVICES) / 250 + 12;
/// Time limit for writing all objects, which takes long on two cores.
const WRITE_LIMIT: Duration = Duration::from_secs(600);

/// Costs of a process, measured from the time before it could reach the API server.
struct Cost {
    pid: Pid,
    proxy: FaultyProxy,
    /// Resident memory before, in bytes.
    before: u64,
    /// Growth of resident memory after each stage, in bytes.
    grown: Vec<u64>,
    /// Bytes read from the API server after each stage.
    read: Vec<u64>,
}

/// Routes the addresses of pods to this machine until dropped.
struct Route;

/// *Scenario*: the real API server has 10,000 running pods of 1,000 Deployments on 100 nodes, and 1,000 services with their endpoints.
/// Longwave and a plain informer of client-go run without a connection to it, and get one at the same moment. Then a thousand pods are
/// replaced, three times.
/// *Guarantees*: Longwave has all objects after one listing of each resource, and names a sample of addresses and backends correctly. Its
/// resident memory grows by at most 40 MiB, also while pods are replaced. It grows less than the informer's, even after Go's runtime has
/// returned unused memory. Longwave sends at most as many requests as the informer.
pub fn ten_thousand_pods_fit_into_forty_mebibytes() {
    gate::require_privileges();
    let programs = programs(&["informer"]);
    let plane = ControlPlane::start();
    timed("all written", || write_all(&plane.server, &plane.token));

    let proxies = [(); 2].map(|()| FaultyProxy::new(plane.server.clone()));
    for proxy in &proxies {
        proxy.set(|behaviour| behaviour.down = true);
        proxy.listen();
    }
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = proxies[0].kubeconfig(folder.path(), &plane.token);
    let token = folder.path().join("token");
    std::fs::write(&token, &plane.token).unwrap();
    let own = Cgroup::new("scale");
    let extra = json!({"receivers": {"bpf": {"cgroup": own.path()}}});
    let longwave = start(&kubeconfig, "node-7", &[PORT], extra);
    let mut informer = Informer::start(&programs.join("informer"), proxies[1].address, &token);
    proxies.iter().for_each(|proxy| proxy.await_attempt(LIMIT));
    let [our_proxy, its_proxy] = proxies;
    let (mut ours, mut its) = (Cost::new(longwave.pid(), our_proxy), Cost::new(informer.pid(), its_proxy));

    for cost in [&ours, &its] {
        cost.proxy.set(|behaviour| behaviour.down = false);
    }
    informer.counts(WRITE_LIMIT);
    await_objects(&longwave, &mut informer, &objects(&plane), "after the start");
    [&mut ours, &mut its].into_iter().for_each(Cost::measure);
    let requests = ours.proxy.requests(0);
    let listed = requests.len();
    assert!(listed <= MAX_REQUESTS, "{requests:#?}");

    names_a_sample(&longwave, &own, 0);
    for round in 1..=ROUNDS {
        timed("pods replaced", || churn(&plane.server, &plane.token, round));
        await_objects(&longwave, &mut informer, &objects(&plane), "after a round");
        names_a_sample(&longwave, &own, round);
        [&mut ours, &mut its].into_iter().for_each(Cost::measure);
    }
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let compared = format!("longwave ({build}):\n{ours}plain informer:\n{its}");
    eprint!("{compared}");
    informer.collect(LIMIT);
    let left = resident(informer.pid()).saturating_sub(its.before);
    eprintln!("plain informer, all collected: {} MiB", mib(left));

    let later = ours.proxy.requests(listed);
    assert!(later.iter().all(Request::resumes), "{later:#?}");
    assert!(ours.grown.iter().all(|bytes| *bytes <= MAX_GROWTH), "{compared}");
    assert!(ours.grown.iter().zip(&its.grown).all(|(ours, its)| ours < its), "{compared}");
    assert!(ours.grown.last() < Some(&left), "{compared}");
    assert!(ours.proxy.request_count() <= its.proxy.request_count(), "{compared}");
    longwave.stop();
}

/// Returns the number of objects of each watched resource.
fn objects(plane: &ControlPlane) -> [(&'static str, u64); 3] {
    let mut session = plane.server.session(&plane.token);
    WATCHED.map(|(resource, path)| {
        // The response contains one object and the number of the others.
        let (_, list) = session.request("GET", &format!("{path}?limit=1"), "application/json", "");
        let list: Value = serde_json::from_slice(&list).unwrap();
        let more = list["metadata"]["remainingItemCount"].as_u64().unwrap_or(0);
        (resource, more + list["items"].as_array().map_or(0, Vec::len) as u64)
    })
}

/// Waits until both have all objects.
fn await_objects(longwave: &Longwave, informer: &mut Informer, objects: &[(&str, u64)], when: &str) {
    for (resource, count) in objects {
        until(longwave, &format!("{count} {resource} {when}"), WRITE_LIMIT, || {
            gauge(longwave, "longwave_extension_kubernetes_objects", resource) as u64 == *count
        });
    }
    informer.await_objects(objects, WRITE_LIMIT);
}

/// Connects to addresses of pods, which are routed to a server of the test, and checks their names. The server is outside the scope of
/// Longwave.
fn names_a_sample(longwave: &Longwave, own: &Cgroup, round: usize) {
    let _route = Route::new();
    let listener = TcpListener::bind(("0.0.0.0", PORT)).unwrap();
    let pods: Vec<usize> = (0..SAMPLE).map(|index| index * (PODS / SAMPLE) + index).collect();
    // Pods that every round replaces.
    let pods: Vec<usize> =
        pods.into_iter().chain((0..SAMPLE).map(|index| index * (CHURNED / SAMPLE))).collect();
    let connect = |number: usize| {
        let target = SocketAddr::new(address(number, round), PORT);
        let client = TcpStream::connect(target).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        accepted.write_all(b"x").unwrap();
        (number, target, client.local_addr().unwrap().port())
    };
    // An accepted connection belongs to the cgroup of its listener.
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

fn resident(pid: Pid) -> u64 {
    field(pid, "VmRSS")
}

/// Returns a field of `/proc/<pid>/status` in bytes.
fn field(pid: Pid, key: &str) -> u64 {
    usage::memory(pid.as_raw_nonzero().get().cast_unsigned(), key).unwrap()
}

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

// === impl Cost ===

impl Cost {
    fn new(pid: Pid, proxy: FaultyProxy) -> Self {
        Self { pid, proxy, before: resident(pid), grown: Vec::new(), read: Vec::new() }
    }

    /// Adds the current values.
    fn measure(&mut self) {
        self.grown.push(resident(self.pid).saturating_sub(self.before));
        self.read.push(self.proxy.requests(0).iter().map(|request| request.bytes).sum());
    }
}

impl Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = |bytes: &[u64]| bytes.iter().map(|bytes| mib(*bytes)).collect::<Vec<_>>().join(", ");
        let peak = field(self.pid, "VmHWM").saturating_sub(self.before);
        writeln!(f, "  resident before {} MiB; after the listing and after each round:", mib(self.before))?;
        writeln!(f, "  growth {} MiB, at most {}", all(&self.grown), mib(peak))?;
        writeln!(f, "  read {} MiB by {} requests", all(&self.read), self.proxy.request_count())
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
