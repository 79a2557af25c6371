//! Names in cases that are seldom, but real: services that leave their slices, node ports at other addresses, pods that change under an open
//! connection, containers that live for a moment, and a token that ends in a newline.
//!
//! The cluster has one node. Of two Longwaves, one sees the sockets of clients and one those of servers, so that the peer of each is known by
//! its address only, as if it were on another node.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use longwave_testing::netns::run;
use longwave_tests::Longwave;
use longwave_tests::cluster::Cluster;
use serde_json::{Map, Value, json};

use crate::greeter::{deployment, pod, pod_spec};
use crate::running::{admin, cluster, release, seen, start, timed, word};
use crate::{DEFAULT_PODS, LIMIT};

const DEFAULT: &str = "/api/v1/namespaces/default";
const APPS: &str = "/apis/apps/v1/namespaces/default/deployments";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
/// Port of the server with a service.
const CORNER: u16 = 8090;
/// Port of the server for whose address many slices exist.
const PLAIN: u16 = 8091;
/// Port of the server of the long connection.
const KEEPER: u16 = 8093;
const NODE_PORT: u16 = 30890;
/// Another address of the node, on its loopback device.
const SECOND: &str = "198.51.100.40";
/// Services that do not exist or select nothing, but have a slice. They come before `fine` in the order of names.
const WITHOUT_PODS: [&str; 4] = ["b-gone", "c-never", "d-external", "e-manual"];
/// Pods in the network of the host that end after one request.
const QUICK: usize = 4;

type Line = Map<String, Value>;

/// Another address of the node, until it is dropped.
struct SecondAddress;

/// Longwave for the sockets of clients, and for those of servers.
struct Halves {
    client: Longwave,
    server: Longwave,
}

/// *Scenario*: a direct connection to a pod for whose address there are slices: of a service that was changed to an external name, of one that
/// was deleted, of one that never existed, of an external name, of a service without a selector, and a stale one of another service. Then a
/// service selects the pod, and is deleted again.
/// *Guarantees*: only the last service is named, without being ambiguous, while it exists. Without it, the service is unknown.
///
/// *Scenario*: a pod and a process of the node connect to a node port at a second address of the node and at the gateway of the pods.
/// *Guarantees*: both ends have the service and each other's workload.
///
/// *Scenario*: under an open connection, both pods get a label, and are then detached from their Deployments.
/// *Guarantees*: both ends have the new label and owner of both pods, in both Longwaves.
///
/// *Scenario*: pods start and connect immediately, in their own network and in that of the host, where they end after one request.
/// *Guarantees*: every record of a pod has its container. No short one is unknown.
///
/// *Scenario*: the token is in a file that ends in a newline.
/// *Guarantees*: the API server accepts it.
pub fn names_are_right_in_every_corner() {
    let cluster = cluster();
    let folder = tempfile::tempdir().unwrap();
    let halves = Halves::start(&cluster, folder.path());
    let _second = SecondAddress::add();
    timed("slices without their service", || slices_without_their_service(&cluster, &halves));
    timed("node ports", || node_ports(&cluster, &halves));
    timed("pods that change", || pods_that_change(&cluster, &halves));
    timed("short containers", || short_containers(&cluster, &halves));
    let [client, server] = [halves.client, halves.server].map(Longwave::stop);
    for (lines, end) in [(&client.lines, "source"), (&server.lines, "destination")] {
        let of_pod = |line: &&Line| !word(line, &format!("{end}.k8s.pod.name")).is_empty();
        let whole = |line: &Line| {
            word(line, &format!("{end}.container.name")) == "main" && !word(line, "container.id").is_empty()
        };
        let parts: Vec<_> = lines.iter().filter(of_pod).filter(|line| !whole(line)).collect();
        assert!(parts.is_empty(), "without a container: {parts:#?}");
        assert!(lines.iter().filter(of_pod).count() > 20, "{end}: {}", lines.len());
    }
    release(cluster);
}

fn slices_without_their_service(cluster: &Cluster, halves: &Halves) {
    let services = format!("{DEFAULT}/services");
    let plain = serve(cluster, "plain", PLAIN);
    let corner = serve(cluster, "corner", CORNER);
    let service = |name: &str, selector: Value, port: u16| {
        let spec = json!({"selector": selector, "ports": [{"port": port, "targetPort": port}]});
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
    };
    let mut of_corner = service("corner", json!({"app": "corner"}), CORNER);
    of_corner["spec"]["type"] = "NodePort".into();
    of_corner["spec"]["ports"][0]["nodePort"] = NODE_PORT.into();
    cluster.create(&services, &of_corner.to_string());

    cluster.create(&services, &service("a-left", json!({"app": "plain"}), PLAIN).to_string());
    let of_left = format!("{SLICES}?labelSelector=kubernetes.io%2Fservice-name%3Da-left");
    cluster.wait_for(&of_left, LIMIT, |slices| slices.contains(&plain.address));
    let external = json!({"spec": {"type": "ExternalName", "externalName": "example.com"}}).to_string();
    cluster.kubectl(&["patch", "service", "a-left", "--patch", &external]);
    cluster.create(&services, &service("b-gone", Value::Null, PLAIN).to_string());
    let mut always_external = service("d-external", Value::Null, PLAIN);
    always_external["spec"] = json!({"type": "ExternalName", "externalName": "example.com"});
    cluster.create(&services, &always_external.to_string());
    cluster.create(&services, &service("e-manual", Value::Null, PLAIN).to_string());
    let manual = |name: &str, of: &str, uid: &str| {
        let target = json!({"kind": "Pod", "namespace": "default", "name": plain.name, "uid": uid});
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": of}},
            "addressType": "IPv4",
            "ports": [{"port": PLAIN, "protocol": "TCP"}],
            "endpoints": [{"addresses": [plain.address], "conditions": {"ready": true}, "targetRef": target}],
        })
    };
    for name in WITHOUT_PODS {
        cluster.create(SLICES, &manual(name, name, &plain.uid).to_string());
    }
    // Without an address of its own, so that kube-proxy does not lead anything to the endpoint.
    let mut stale = service("a-stale", json!({"app": "corner"}), PLAIN);
    stale["spec"]["clusterIP"] = "None".into();
    cluster.create(&services, &stale.to_string());
    cluster.create(SLICES, &manual("a-stale-manual", "a-stale", &corner.uid).to_string());
    cluster.delete(&format!("{services}/b-gone"));
    assert!(
        cluster.text(&of_left).contains(&plain.address),
        "Kubernetes has removed the slice: this test has no case left"
    );

    let requests: Vec<String> = [
        format!("{}:{PLAIN}", plain.address),
        format!("{}:{NODE_PORT}", gateway(&plain.address)),
        format!("{SECOND}:{NODE_PORT}"),
    ]
    .into_iter()
    .map(|target| format!("wget -q -O- http://{target}/"))
    .collect();
    let script = format!("while true; do {}; sleep 0.3; done", requests.join("; "));
    cluster.create(APPS, &deployment("visitor", 1, pod_spec(&script)));
    halves.await_both("no service", |line| is_to(line, PLAIN) && has_service(line, "unknown"));
    let from = [seen(&halves.client), seen(&halves.server)];
    cluster.create(&services, &service("fine", json!({"app": "plain"}), PLAIN).to_string());
    // When Longwave has this service, it has all earlier slices.
    halves.await_both("the service", |line| is_to(line, PLAIN) && has_service(line, "fine"));
    cluster.delete(&format!("{services}/fine"));
    for (longwave, from) in [(&halves.client, from[0]), (&halves.server, from[1])] {
        let mut was_fine = false;
        longwave.await_lines("no service again", from, LIMIT, |line| {
            was_fine |= is_to(line, PLAIN) && has_service(line, "fine");
            was_fine && is_to(line, PLAIN) && has_service(line, "unknown")
        });
        longwave.lines(|lines| {
            let to_plain = lines.iter().filter(|line| is_to(line, PLAIN));
            let right = |line: &&Line| has_service(line, "fine") || has_service(line, "unknown");
            let wrong: Vec<_> = to_plain.filter(|line| !right(line)).collect();
            assert!(wrong.is_empty(), "{wrong:#?}");
        });
    }
}

fn node_ports(cluster: &Cluster, halves: &Halves) {
    let corner = listed(cluster, "corner");
    let gateway = gateway(&corner.address);
    for address in [SECOND, gateway.as_str()] {
        halves.client.await_lines(&format!("the client of {address}"), 0, LIMIT, |line| {
            is_to(line, NODE_PORT)
                && word(line, "destination.address") == address
                && has_service(line, "corner")
                && word(line, "source.workload.name") == "visitor"
                && word(line, "destination.workload.name") == "corner"
        });
    }
    halves.server.await_lines("the server", 0, LIMIT, |line| {
        is_to(line, CORNER)
            && has_service(line, "corner")
            && word(line, "source.workload.name") == "visitor"
            && word(line, "destination.workload.name") == "corner"
    });
    // The process of the test, in the network of the host.
    for address in [SECOND, gateway.as_str()] {
        let local = get(format!("{address}:{NODE_PORT}").parse().unwrap());
        halves.client.await_lines(&format!("this process at {address}"), 0, LIMIT, |line| {
            word(line, "destination.address") == address
                && line.get("source.port").and_then(Value::as_u64) == Some(local.port().into())
                && has_service(line, "corner")
                && word(line, "destination.workload.name") == "corner"
        });
    }
}

fn pods_that_change(cluster: &Cluster, halves: &Halves) {
    let serves = format!("exec nc -ll -p {KEEPER} -e cat");
    cluster.create(APPS, &deployment("keeper", 1, pod_spec(&serves)));
    let keeper = listed(cluster, "keeper");
    let sends = format!("(while sleep 1; do echo x; done) | nc {} {KEEPER}", keeper.address);
    cluster
        .create(APPS, &deployment("talker", 1, pod_spec(&format!("while true; do {sends}; sleep 1; done"))));
    let talker = listed(cluster, "talker");
    let is_between = |line: &Line| {
        is_to(line, KEEPER)
            && word(line, "source.k8s.pod.name") == talker.name
            && word(line, "destination.k8s.pod.name") == keeper.name
    };
    let mut ids = halves.each().map(|_| String::new());
    for (longwave, id) in halves.each().into_iter().zip(&mut ids) {
        longwave.await_lines("the long connection", 0, LIMIT, |line| {
            *id = word(line, "longwave.connection.id").to_owned();
            is_between(line) && word(line, "source.workload.kind") == "Deployment"
        });
    }
    let follow = |what: &str, ends: [(&str, &str, &str); 2]| {
        for (longwave, id) in halves.each().into_iter().zip(&ids) {
            longwave.await_lines(what, seen(longwave), LIMIT, |line| {
                word(line, "longwave.connection.id") == id
                    && ends.iter().all(|(end, key, value)| word(line, &format!("{end}.{key}")) == *value)
            });
        }
    };
    cluster.kubectl(&["label", "pod", &talker.name, "team=red"]);
    cluster.kubectl(&["label", "pod", &keeper.name, "team=blue"]);
    let team = "k8s.pod.label.team";
    follow("the labels of both", [("source", team, "red"), ("destination", team, "blue")]);
    // Their ReplicaSets release them.
    cluster.kubectl(&["label", "pod", &talker.name, &keeper.name, "app=loose", "--overwrite"]);
    let name = "workload.name";
    follow("the owners of both", [("source", name, &talker.name), ("destination", name, &keeper.name)]);
}

fn short_containers(cluster: &Cluster, halves: &Halves) {
    let corner = listed(cluster, "corner");
    let from = seen(&halves.client);
    for number in 0..QUICK {
        let mut spec = pod_spec(&format!("exec wget -q -O- http://{}:{CORNER}/", corner.address));
        spec["hostNetwork"] = true.into();
        spec["restartPolicy"] = "Never".into();
        cluster.create(DEFAULT_PODS, &pod(&format!("quick-{number}"), spec));
    }
    let mut short: Vec<Line> = Vec::new();
    let gateway = gateway(&corner.address);
    halves.client.await_lines("the short ones", from, LIMIT, |line| {
        let is_short = is_to(line, CORNER)
            && word(line, "source.address") == gateway
            && word(line, "event_name").ends_with(".close");
        short.extend(is_short.then(|| line.clone()));
        short.len() == QUICK
    });
    for line in &short {
        let name = word(line, "source.workload.name");
        assert!(name == "wget" || name.starts_with("quick-"), "{line:#?}");
        eprintln!(
            "short container: {} {name} {:?}",
            word(line, "source.workload.kind"),
            line.get("container.id")
        );
    }
}

/// A pod.
struct RunningPod {
    name: String,
    uid: String,
    address: String,
}

/// Creates a Deployment of one pod that serves HTTP, and returns the pod.
fn serve(cluster: &Cluster, name: &str, port: u16) -> RunningPod {
    let script = format!("mkdir /www && echo hi > /www/index.html && exec httpd -f -p {port} -h /www");
    cluster.create(APPS, &deployment(name, 1, pod_spec(&script)));
    listed(cluster, name)
}

/// Waits until the only pod of the Deployment runs.
fn listed(cluster: &Cluster, app: &str) -> RunningPod {
    let read = |pods: &str| -> Option<RunningPod> {
        let pods: Value = serde_json::from_str(pods).ok()?;
        let [pod] = pods["items"].as_array()?.as_slice() else { return None };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (name, uid) = (text(&pod["metadata"]["name"])?, text(&pod["metadata"]["uid"])?);
        let is_running = pod["status"]["phase"] == "Running";
        is_running.then_some(RunningPod { name, uid, address: text(&pod["status"]["podIP"])? })
    };
    let path = format!("{DEFAULT_PODS}?labelSelector=app%3D{app}");
    read(&cluster.wait_for(&path, LIMIT, |pods| read(pods).is_some())).unwrap()
}

/// Returns the gateway of the pods, which is the first address of their network.
fn gateway(pod: &str) -> String {
    format!("{}.1", pod.rsplit_once('.').unwrap().0)
}

/// Sends a request and reads the response. Returns the address of the client.
fn get(server: SocketAddr) -> SocketAddr {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.contains(" 200 OK"), "{response}");
    stream.local_addr().unwrap()
}

fn is_to(line: &Line, port: u16) -> bool {
    line.get("destination.port").and_then(Value::as_u64) == Some(port.into())
}

/// Returns whether the line has exactly this service.
fn has_service(line: &Line, name: &str) -> bool {
    word(line, "destination.service.name") == name && !line.contains_key("longwave.service.ambiguous")
}

/// Writes a kubeconfig whose token is in a file that ends in a newline.
fn kubeconfig(cluster: &Cluster, folder: &Path) -> PathBuf {
    std::fs::write(folder.join("token"), format!("{}\n", admin(cluster))).unwrap();
    let path = folder.join("kubeconfig");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": cluster.info.server, "certificate-authority": cluster.info.ca}}],
        "users": [{"name": "u", "user": {"tokenFile": "token"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    std::fs::write(&path, text.to_string()).unwrap();
    path
}

// === impl Halves ===

impl Halves {
    fn start(cluster: &Cluster, folder: &Path) -> Self {
        let kubeconfig = kubeconfig(cluster, folder);
        let half = |role: &str| {
            let extra = json!({
                "extensions": {"kubernetes": {"labels": ["team"]}},
                "processors": {"filter": {"include": {"roles": [role]}}},
                "service": {"pipelines": {"logs": {"processors": ["filter", "workload", "service"]}}},
            });
            start(&kubeconfig, &cluster.info.node, &[CORNER, PLAIN, KEEPER, NODE_PORT], extra)
        };
        Self { client: half("client"), server: half("server") }
    }

    fn each(&self) -> [&Longwave; 2] {
        [&self.client, &self.server]
    }

    /// Waits until both have a new line that satisfies `see`.
    fn await_both(&self, what: &str, see: impl Fn(&Line) -> bool) {
        for longwave in self.each() {
            longwave.await_lines(what, 0, LIMIT, &see);
        }
    }
}

// === impl SecondAddress ===

impl SecondAddress {
    fn add() -> Self {
        run("ip", &["address", "replace", &format!("{SECOND}/32"), "dev", "lo"]);
        Self
    }
}

impl Drop for SecondAddress {
    fn drop(&mut self) {
        let remove = ["address", "del", &format!("{SECOND}/32"), "dev", "lo"];
        let _ = std::process::Command::new("ip").args(remove).output();
    }
}
