//! Ten thousand pods of Deployments, and services with their endpoints, as controllers and kubelets write them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use longwave_tests::api_server::{ApiServer, Session};
use serde_json::{Value, json};

pub const PODS: usize = 10_000;
pub const SERVICES: usize = 1_000;
pub const PER_SERVICE: usize = PODS / SERVICES;
const NODES: usize = 100;
const NAMESPACES: usize = 20;
/// Number of connections that write objects to the API server.
const WRITERS: usize = 12;
/// Number of pods that are replaced in a round.
pub const CHURNED: usize = 1_000;
/// Port of the pods.
pub const PORT: u16 = 18080;

/// Uids of all pods by name. The API server assigns them.
static UIDS: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// Runs `work` for each number below `count`, distributed over all connections.
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

pub fn write_all(server: &ApiServer, token: &str) {
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

pub fn namespace(app: usize) -> String {
    format!("team-{}", app % NAMESPACES)
}

pub fn address(number: usize, round: usize) -> IpAddr {
    // A replaced pod has another address.
    let host = number + if number < CHURNED { round * PODS } else { 0 };
    IpAddr::from([10, 201 + (host >> 16) as u8, (host >> 8) as u8, host as u8])
}

pub fn pod_name(number: usize, round: usize) -> String {
    let round = if number < CHURNED { round } else { 0 };
    format!("app-{}-7d4b9c6f5d-{round}{:04}", number / PER_SERVICE, number % PODS)
}

/// Creates a pod and its status, as a kubelet does.
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
    let pod = session.write("PATCH", &format!("{collection}/{name}/status"), &json!({"status": status}));
    let pod: Value = serde_json::from_slice(&pod).unwrap();
    UIDS.lock().unwrap().insert(name, pod["metadata"]["uid"].as_str().unwrap().to_owned());
}

/// Creates a service and its endpoints, as the controller does.
fn write_service(session: &mut Session, number: usize) {
    let (name, namespace) = (format!("app-{number}"), namespace(number));
    // With this label, kube-proxy ignores the service.
    let labels = json!({
        "service.kubernetes.io/service-proxy-name": "none",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": name,
    });
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "ports": [{"name": "http", "port": 80, "targetPort": PORT}],
            "selector": {"app.kubernetes.io/name": name},
        },
    });
    session.write("POST", &format!("/api/v1/namespaces/{namespace}/services"), &service);
    write_slice(session, number, 0);
}

fn write_slice(session: &mut Session, number: usize, round: usize) {
    let (name, namespace) = (format!("app-{number}"), namespace(number));
    let uids = UIDS.lock().unwrap();
    let endpoints: Vec<Value> = (number * PER_SERVICE..(number + 1) * PER_SERVICE)
        .map(|pod| {
            json!({
                "addresses": [address(pod, round)],
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "nodeName": format!("node-{}", pod % NODES),
                "targetRef": {
                    "kind": "Pod", "namespace": namespace, "name": pod_name(pod, round),
                    "uid": uids.get(&pod_name(pod, round)),
                },
            })
        })
        .collect();
    drop(uids);
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

/// Replaces pods by others with new names and addresses. Finally adds one object of each kind: a client that has received it has received
/// all earlier changes.
pub fn churn(server: &ApiServer, token: &str, round: usize) {
    spread(server, token, CHURNED, |session, number| {
        let namespace = namespace(number / PER_SERVICE);
        let path = format!("/api/v1/namespaces/{namespace}/pods/{}", pod_name(number, round - 1));
        session.write("DELETE", &path, &json!({"gracePeriodSeconds": 0}));
        write_pod(session, number, round);
    });
    spread(server, token, CHURNED / PER_SERVICE, |session, number| write_slice(session, number, round));
    let (mut session, app) = (server.session(token), 5 * SERVICES + round);
    write_pod(&mut session, app * PER_SERVICE, 0);
    write_service(&mut session, app);
}
