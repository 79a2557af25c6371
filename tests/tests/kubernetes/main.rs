//! Longwave on a real Kubernetes, deployed with its manifests. Checks the names of both ends and the exact bytes of each connection.
#![allow(clippy::unwrap_used)]

mod churn;
mod deployed;
mod manifests;
mod mesh;
mod outside;
mod pod;
mod steps;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use longwave_testing::{gate, harness, tests};
use longwave_tests::cluster::{Cluster, ProxyMode};
use longwave_tests::collector;
use longwave_tests::otlp_json::{FlatLog, FlatPoint};
use longwave_tests::prometheus;
use serde_json::Value;

use deployed::{Deployed, attribute};
use mesh::Mesh;
use outside::Outside;
use pod::Account;
use steps::Steps;

const LIMIT: Duration = Duration::from_secs(120);
const PODS: &str = "/api/v1/namespaces/default/pods";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const APPS: &str = "/apis/apps/v1/namespaces/default";
const ROUNDS: u32 = 3;

/// Names of an end: keys without the prefix `source.` or `destination.`.
const NAMES: [&str; 3] = ["workload.name", "workload.kind", "k8s.namespace.name"];

/// Expected names of the peer of a client.
struct Expected {
    workload: [&'static str; 3],
    service: [&'static str; 2],
}

fn expected(target: &str) -> Expected {
    let none = ["", ""];
    let (workload, service) = match target {
        "web" => (["web", "Deployment", "default"], ["web", "default"]),
        "db0" | "db1" => (["db", "StatefulSet", "default"], ["db", "default"]),
        "host-a" => (["host-a", "Deployment", "default"], none),
        "host-b" => (["host-b", "Deployment", "default"], none),
        "payments" => (["payments-gateway", "External", "partners"], ["payments", "partners"]),
        other => panic!("no target {other}"),
    };
    Expected { workload, service }
}

/// A client pod and the connections that it counted.
struct ClientPod {
    pod: String,
    workload: [&'static str; 3],
    accounts: Vec<Account>,
}

/// *Scenario*: a client Deployment and a CronJob connect to a Service of two replicas through its ClusterIP, to the pods of a StatefulSet
/// with a headless Service, to two Deployments in the node's network on different ports, and to an address outside the cluster that is in
/// names.yaml.
/// *Guarantees*: the access logs of both reporters have the workload (the top owner), kind, namespace and pod of both ends, the service,
/// and the bytes that the application counted. The sums of the windows have the same names and bytes. A masqueraded source is unknown or
/// correct. In Prometheus, Kiali's queries show each edge once, and Kmesh's show the same. Then [`churn::names_stay_true`] follows in the same cluster.
fn names_both_ends() {
    both_ends_are_named("names_both_ends", ProxyMode::Nftables);
}

/// *Scenario*: the same as [`names_both_ends`], with kube-proxy in the mode `iptables`.
/// *Guarantees*: the same.
fn names_both_ends_with_iptables() {
    both_ends_are_named("names_both_ends_with_iptables", ProxyMode::Iptables);
}

fn both_ends_are_named(name: &'static str, mode: ProxyMode) {
    let _turn = gate::privileged();
    let collector = collector::binary();
    prometheus::require();
    let steps = Steps::new(name);
    let cluster = Cluster::up(mode);
    steps.done("the cluster is up");
    let outside = Outside::new();
    // The CronJob is suspended until the servers listen. Then it catches up on the run that it missed.
    let jobs = "/apis/batch/v1/namespaces/default/cronjobs";
    let minute = ((churn::talk::now() / 1_000_000_000 + 5) / 60 + 1) % 60;
    cluster.create(jobs, &manifests::cron_job("nightly", "", minute, true).to_string());
    let mut deployed = Deployed::new(&cluster, collector, Outside::NAMES);
    steps.done("Longwave runs");
    load_pod_image(&cluster);
    steps.done("the pods' image is there");

    cluster.create(SERVICES, &manifests::service("web", 80, 7000, false).to_string());
    cluster.create(SERVICES, &manifests::service("db", 7100, 7100, true).to_string());
    for (collection, servers) in [
        ("deployments", manifests::servers("Deployment", "web", 2, 7000, false)),
        ("statefulsets", manifests::servers("StatefulSet", "db", 2, 7100, false)),
        ("deployments", manifests::servers("Deployment", "host-a", 1, 7201, true)),
        ("deployments", manifests::servers("Deployment", "host-b", 1, 7202, true)),
    ] {
        cluster.create(&format!("{APPS}/{collection}"), &servers.to_string());
    }
    let servers = ready(&cluster, &[("web", 2), ("db", 2), ("host-a", 1), ("host-b", 1)]);
    steps.done("the servers listen");
    let mesh = (mode == ProxyMode::Nftables).then(|| Mesh::start(&cluster));
    steps.done("Prometheus scrapes Istio's and Kmesh's names");
    let web = cluster.get(&format!("{SERVICES}/web"))["spec"]["clusterIP"].as_str().unwrap().to_owned();
    let node = &cluster.info.node_ip;
    let targets = format!(
        "web={web}:80,db0={}:7100,db1={}:7100,host-a={node}:7201,host-b={node}:7202,payments={}",
        servers["db-0"], servers["db-1"], outside.address,
    );
    let nightly = manifests::cron_job("nightly", &targets, minute, false).to_string();
    cluster.kubectl(&["patch", "cronjob/nightly", "--type=merge", "--patch", &nightly]);
    cluster
        .create(&format!("{APPS}/deployments"), &manifests::client("client", &targets, ROUNDS).to_string());

    let clients = [
        finished_client(&cluster, "client", ["client", "Deployment", "default"]),
        finished_client(&cluster, "nightly", ["nightly", "CronJob", "default"]),
    ];
    steps.done("all requests are done");
    assert_eq!(clients[0].accounts.len(), 6 * ROUNDS as usize);
    assert_eq!(clients[1].accounts.len(), 6);
    let served: BTreeMap<String, Vec<Account>> = servers
        .keys()
        .map(|pod| (pod.clone(), pod::accounts(&cluster.text(&format!("{PODS}/{pod}/log")))))
        .collect();

    let all = || clients.iter().flat_map(|client| &client.accounts);
    let (written, read) = all().fold((0, 0), |(w, r), account| (w + account.written, r + account.read));
    let outside_read: u64 =
        all().filter(|account| account.target == "payments").map(|account| account.read).sum();
    let arrived = deployed.wait(LIMIT, |logs, points| {
        all().all(|account| record(logs, "source", account).is_some())
            && all_sent(points, "source") >= written
            && all_sent(points, "destination") >= read - outside_read
    });
    steps.done("all is reported");
    let (logs, points) = deployed.arrived();
    if !arrived {
        let missing: Vec<_> = all().filter(|account| record(&logs, "source", account).is_none()).collect();
        let sent = ["source", "destination"].map(|reporter| all_sent(&points, reporter));
        panic!(
            "not all arrived: sent {sent:?} of {written} and {read}, logs missing of {missing:#?}; log of Longwave:\n{}",
            deployed.log(&cluster)
        );
    }
    for client in &clients {
        assert_sources(client, &served, &logs);
    }
    assert_destinations(&clients, &served, &logs);
    assert_masqueraded(&clients, &logs);
    assert_windows(&clients, &points);
    if let Some(mesh) = mesh {
        mesh.assert_edges(&clients);
        steps.done("Kiali and Kmesh show each edge once");
    }
    if mode == ProxyMode::Nftables {
        churn::names_stay_true(&cluster, &mut deployed);
    }
    deployed.stop();
    drop(outside);
    cluster.down();
    steps.done("the cluster is down");
}

fn load_pod_image(cluster: &Cluster) {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("pod.tar");
    cluster.image("test:kubernetes", manifests::IMAGE, &archive);
    cluster.load(&archive);
}

/// Waits until all these pods listen. Returns their addresses by name.
fn ready(cluster: &Cluster, wanted: &[(&str, usize)]) -> BTreeMap<String, String> {
    let mut addresses = BTreeMap::new();
    for (app, count) in wanted {
        let selected = format!("{PODS}?labelSelector=app%3D{app}");
        let pods = cluster.wait(&selected, |pods| running(pods).len() == *count);
        for (pod, address) in running(&pods) {
            cluster.wait(&format!("{PODS}/{pod}/log"), |log| log.contains(pod::LISTENING));
            addresses.insert(pod, address);
        }
    }
    addresses
}

/// Returns names and addresses of running pods.
fn running(pods: &str) -> Vec<(String, String)> {
    let pods: Value = serde_json::from_str(pods).unwrap();
    let pods = pods["items"].as_array().unwrap().iter();
    pods.filter(|pod| pod["status"]["phase"] == "Running")
        .filter_map(|pod| {
            Some((pod["metadata"]["name"].as_str()?.to_owned(), pod["status"]["podIP"].as_str()?.to_owned()))
        })
        .collect()
}

/// Waits until the first pod of `app` has finished its requests.
fn finished_client(cluster: &Cluster, app: &str, workload: [&'static str; 3]) -> ClientPod {
    let first = |pods: &str| -> Option<String> {
        let pods: Value = serde_json::from_str(pods).ok()?;
        Some(pods["items"][0]["metadata"]["name"].as_str()?.to_owned())
    };
    // The first run of a CronJob may be a minute away.
    let selected = format!("{PODS}?labelSelector=app%3D{app}");
    let pods = cluster.wait_for(&selected, LIMIT, |pods| first(pods).is_some());
    let pod = first(&pods).unwrap();
    let log = cluster.wait_for(&format!("{PODS}/{pod}/log"), LIMIT, |log| log.contains(pod::DONE));
    ClientPod { pod, workload, accounts: pod::accounts(&log) }
}

/// Returns the access log of a client's connection from one reporter.
fn record<'a>(
    logs: &'a [FlatLog],
    reporter: &str,
    account: &Account,
) -> Option<&'a BTreeMap<String, String>> {
    let mut found = logs.iter().map(|(_, _, attributes)| attributes).filter(|attributes| {
        attribute(attributes, "reporter") == reporter
            && attribute(attributes, "source.address") == account.local.ip().to_string()
            && attribute(attributes, "source.port") == account.local.port().to_string()
    });
    let first = found.next();
    assert!(found.next().is_none(), "two ends of one connection, by {reporter}: {account:?}");
    first
}

fn names(attributes: &BTreeMap<String, String>, end: &str) -> [String; 3] {
    NAMES.map(|name| attribute(attributes, &format!("{end}.{name}")).to_owned())
}

fn assert_bytes(attributes: &BTreeMap<String, String>, account: &Account) {
    let bytes = |key| attribute(attributes, key).parse::<u64>().unwrap();
    assert_eq!(bytes("longwave.tcp.sent_bytes"), account.written, "sent: {attributes:#?}");
    assert_eq!(bytes("longwave.tcp.received_bytes"), account.read, "received: {attributes:#?}");
}

/// Checks the records of the clients' sockets.
fn assert_sources(client: &ClientPod, served: &BTreeMap<String, Vec<Account>>, logs: &[FlatLog]) {
    for account in &client.accounts {
        let attributes =
            record(logs, "source", account).unwrap_or_else(|| panic!("not reported: {account:?}"));
        let expected = expected(&account.target);
        assert_eq!(names(attributes, "source"), client.workload, "{attributes:#?}");
        assert_eq!(attribute(attributes, "source.k8s.pod.name"), client.pod, "{attributes:#?}");
        assert_eq!(names(attributes, "destination"), expected.workload, "{attributes:#?}");
        let service =
            ["name", "namespace"].map(|part| attribute(attributes, &format!("destination.service.{part}")));
        assert_eq!(service, expected.service, "{attributes:#?}");
        if account.target != "payments" {
            let pod = server_of(served, account)
                .unwrap_or_else(|| panic!("no server has this connection: {account:?}"));
            assert_eq!(attribute(attributes, "destination.k8s.pod.name"), pod, "{attributes:#?}");
        }
        assert_bytes(attributes, account);
    }
}

/// Returns the pod that counted the other end.
fn server_of<'a>(served: &'a BTreeMap<String, Vec<Account>>, account: &Account) -> Option<&'a str> {
    let has = |accounts: &Vec<Account>| accounts.iter().any(|served| same_end(served.peer, account.local));
    served.iter().find(|(_, accounts)| has(accounts)).map(|(pod, _)| pod.as_str())
}

fn same_end(one: SocketAddr, other: SocketAddr) -> bool {
    one == other
}

/// Checks the records of the servers' sockets.
fn assert_destinations(clients: &[ClientPod], served: &BTreeMap<String, Vec<Account>>, logs: &[FlatLog]) {
    let mut checked = 0;
    for (pod, accounts) in served {
        for account in accounts {
            let (client, request) = clients
                .iter()
                .flat_map(|client| client.accounts.iter().map(move |account| (client, account)))
                .find(|(_, request)| same_end(request.local, account.peer))
                .unwrap_or_else(|| panic!("{pod} has a connection of an unknown client: {account:?}"));
            let attributes =
                record(logs, "destination", request).unwrap_or_else(|| panic!("not reported: {account:?}"));
            let expected = expected(&request.target);
            assert_eq!(names(attributes, "source"), client.workload, "{attributes:#?}");
            assert_eq!(attribute(attributes, "source.k8s.pod.name"), client.pod, "{attributes:#?}");
            assert_eq!(names(attributes, "destination"), expected.workload, "{attributes:#?}");
            assert_eq!(attribute(attributes, "destination.k8s.pod.name"), pod, "{attributes:#?}");
            let service = ["name", "namespace"]
                .map(|part| attribute(attributes, &format!("destination.service.{part}")));
            assert_eq!(service, expected.service, "{attributes:#?}");
            assert_bytes(attributes, account);
            checked += 1;
        }
    }
    assert_eq!(checked, clients.iter().map(|client| client.accounts.len() * 5 / 6).sum::<usize>());
}

/// Checks the records of the server outside the cluster. Its clients have the address of the node, because they are masqueraded. Longwave
/// may find their names by connection tracking.
fn assert_masqueraded(clients: &[ClientPod], logs: &[FlatLog]) {
    let mut checked = 0;
    for (_, _, attributes) in logs {
        if attribute(attributes, "reporter") != "destination"
            || attribute(attributes, "destination.address") != "203.0.113.7"
        {
            continue;
        }
        let received = attribute(attributes, "longwave.tcp.received_bytes");
        let is_possible = |client: &&ClientPod| {
            let mut accounts = client.accounts.iter().filter(|account| account.target == "payments");
            accounts.any(|account| account.written.to_string() == received)
        };
        let source = attribute(attributes, "source.workload.name");
        let right = clients.iter().filter(is_possible).any(|client| client.workload[0] == source);
        assert!(source.is_empty() || right, "{attributes:#?}");
        checked += 1;
    }
    assert_eq!(checked, ROUNDS + 1, "connections that the server outside reported");
}

/// Sums the sent bytes of one pair of workloads over all windows.
fn sum(points: &[FlatPoint], reporter: &str, source: &str, destination: &str) -> u64 {
    let of_flow = |point: &&FlatPoint| {
        point.name == "longwave.tcp.workload.sent_bytes"
            && attribute(&point.attributes, "reporter") == reporter
            && attribute(&point.attributes, "source.workload.name") == source
            && attribute(&point.attributes, "destination.workload.name") == destination
    };
    points.iter().filter(of_flow).map(|point| point.value.parse::<u64>().unwrap()).sum()
}

/// Sums the sent bytes of all clients over all windows.
fn all_sent(points: &[FlatPoint], reporter: &str) -> u64 {
    let known = ["client", "nightly"];
    let flows = ["web", "db", "host-a", "host-b", "payments-gateway"];
    known.iter().flat_map(|source| flows.map(|flow| sum(points, reporter, source, flow))).sum()
}

/// Asserts that the sums of the windows equal the counts of the applications, for each pair of workloads.
fn assert_windows(clients: &[ClientPod], points: &[FlatPoint]) {
    for client in clients {
        for destination in ["web", "db", "host-a", "host-b", "payments-gateway"] {
            let flow =
                client.accounts.iter().filter(|account| expected(&account.target).workload[0] == destination);
            let (written, read) = flow
                .fold((0, 0), |(written, read), account| (written + account.written, read + account.read));
            let source = client.workload[0];
            assert_eq!(sum(points, "source", source, destination), written, "{source} → {destination}");
            if destination != "payments-gateway" {
                assert_eq!(
                    sum(points, "destination", source, destination),
                    read,
                    "{source} → {destination}, by the server"
                );
            }
        }
    }
}

fn main() -> ExitCode {
    if harness::started_as(pod::ROLE) {
        pod::main();
        return ExitCode::SUCCESS;
    }
    harness::run(tests![names_both_ends, names_both_ends_with_iptables,])
}
