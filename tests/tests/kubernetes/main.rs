//! On a real Kubernetes, deployed by its own manifests from its own image: who talked to whom, by name, and how much, to the byte.
#![allow(clippy::unwrap_used)]

mod churn;
mod deployed;
mod manifests;
mod outside;
mod pod;
mod steps;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use longwave_testing::gate;
use longwave_tests::cluster::{Cluster, ProxyMode};
use longwave_tests::collector;
use longwave_tests::otlp_json::{FlatLog, FlatPoint};
use serde_json::Value;

use deployed::{Deployed, attribute};
use outside::Outside;
use pod::Account;
use steps::Steps;

const LIMIT: Duration = Duration::from_secs(120);
const PODS: &str = "/api/v1/namespaces/default/pods";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const APPS: &str = "/apis/apps/v1/namespaces/default";
const ROUNDS: u32 = 3;

/// Names of an end, as records and metrics write them.
const NAMES: [&str; 3] = ["workload.name", "workload.kind", "k8s.namespace.name"];

/// What runs in the test's pods: see [`pod`] and [`churn::talk`].
#[test]
fn pod_main() {
    pod::run_if_asked();
    churn::talk::run_if_asked();
}

/// What names the far end of a target has.
struct Expected {
    workload: [&'static str; 3],
    service: [&'static str; 2],
}

fn expected(target: &str) -> Expected {
    let none = ["unknown", "unknown"];
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

/// A pod of the test and the connections that it counted.
struct Told {
    pod: String,
    workload: [&'static str; 3],
    accounts: Vec<Account>,
}

/// *Scenario*: a client Deployment and a CronJob ask a Service of two replicas through its ClusterIP, the pods of a headless Service's
/// StatefulSet, two Deployments in the node's network on different ports, and an address outside that names.yaml names.
/// *Guarantees*: every connection's access log of either reporter names workload (the top of its owners), kind, namespace and pod of both
/// ends and the service, and has the bytes that the application counted; so do the sums of the windows. A masqueraded source is unknown
/// or right. And then, in the same cluster, [`churn::names_stay_true`].
#[test]
fn names_both_ends() {
    both_ends_are_named("names_both_ends", ProxyMode::Nftables);
}

/// *Scenario*: the same where kube-proxy writes chains in the classic tables.
/// *Guarantees*: the same.
#[test]
fn names_both_ends_behind_iptables() {
    both_ends_are_named("names_both_ends_behind_iptables", ProxyMode::Iptables);
}

fn both_ends_are_named(name: &'static str, mode: ProxyMode) {
    let Some(_turn) = gate::privileged(name) else { return };
    let Some(collector) = collector::binary(name) else { return };
    let steps = Steps::new(name);
    let Some(cluster) = Cluster::up(name, mode) else { return };
    steps.done("the cluster is up");
    let outside = Outside::new();
    // Its minute comes while the rest is made ready; what it missed while it was suspended it does at once.
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
        told(&cluster, "client", ["client", "Deployment", "default"]),
        told(&cluster, "nightly", ["nightly", "CronJob", "default"]),
    ];
    steps.done("all were asked");
    assert_eq!(clients[0].accounts.len(), 6 * ROUNDS as usize);
    assert_eq!(clients[1].accounts.len(), 6);
    let served: BTreeMap<String, Vec<Account>> = servers
        .keys()
        .map(|pod| (pod.clone(), pod::accounts(&cluster.text(&format!("{PODS}/{pod}/log")))))
        .collect();

    let all = || clients.iter().flat_map(|told| &told.accounts);
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
            "not all arrived: sent {sent:?} of {written} and {read}, logs missing of {missing:#?}; Longwave said:\n{}",
            deployed.log(&cluster)
        );
    }
    for told in &clients {
        assert_sources(told, &served, &logs);
    }
    assert_destinations(&clients, &served, &logs);
    assert_masqueraded(&clients, &logs);
    assert_windows(&clients, &points);
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

/// Waits until every pod of these listens; pod → address.
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

/// Pods that run, with their addresses.
fn running(pods: &str) -> Vec<(String, String)> {
    let pods: Value = serde_json::from_str(pods).unwrap();
    let pods = pods["items"].as_array().unwrap().iter();
    pods.filter(|pod| pod["status"]["phase"] == "Running")
        .filter_map(|pod| {
            Some((pod["metadata"]["name"].as_str()?.to_owned(), pod["status"]["podIP"].as_str()?.to_owned()))
        })
        .collect()
}

/// Waits until the first pod of `app` has asked everybody.
fn told(cluster: &Cluster, app: &str, workload: [&'static str; 3]) -> Told {
    let first = |pods: &str| -> Option<String> {
        let pods: Value = serde_json::from_str(pods).ok()?;
        Some(pods["items"][0]["metadata"]["name"].as_str()?.to_owned())
    };
    // A CronJob's first run may be a minute away still, which is as long as one wait may take.
    let selected = format!("{PODS}?labelSelector=app%3D{app}");
    let pods = cluster.wait_for(&selected, LIMIT, |pods| first(pods).is_some());
    let pod = first(&pods).unwrap();
    let log = cluster.wait_for(&format!("{PODS}/{pod}/log"), LIMIT, |log| log.contains(pod::DONE));
    Told { pod, workload, accounts: pod::accounts(&log) }
}

/// The access log of a client's connection, by one of its ends.
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

/// What the clients' sockets reported.
fn assert_sources(told: &Told, served: &BTreeMap<String, Vec<Account>>, logs: &[FlatLog]) {
    for account in &told.accounts {
        let attributes =
            record(logs, "source", account).unwrap_or_else(|| panic!("not reported: {account:?}"));
        let expected = expected(&account.target);
        assert_eq!(names(attributes, "source"), told.workload, "{attributes:#?}");
        assert_eq!(attribute(attributes, "source.k8s.pod.name"), told.pod, "{attributes:#?}");
        assert_eq!(names(attributes, "destination"), expected.workload, "{attributes:#?}");
        let service =
            ["name", "namespace"].map(|part| attribute(attributes, &format!("destination.service.{part}")));
        assert_eq!(service, expected.service, "{attributes:#?}");
        if account.target != "payments" {
            let pod = server_of(served, account).unwrap_or_else(|| panic!("served by nobody: {account:?}"));
            assert_eq!(attribute(attributes, "destination.k8s.pod.name"), pod, "{attributes:#?}");
        }
        assert_bytes(attributes, account);
    }
}

/// The pod that has counted the other end.
fn server_of<'a>(served: &'a BTreeMap<String, Vec<Account>>, account: &Account) -> Option<&'a str> {
    let has = |accounts: &Vec<Account>| accounts.iter().any(|served| same_end(served.peer, account.local));
    served.iter().find(|(_, accounts)| has(accounts)).map(|(pod, _)| pod.as_str())
}

fn same_end(one: SocketAddr, other: SocketAddr) -> bool {
    one == other
}

/// What the servers' sockets reported, of the same connections.
fn assert_destinations(clients: &[Told], served: &BTreeMap<String, Vec<Account>>, logs: &[FlatLog]) {
    let mut checked = 0;
    for (pod, accounts) in served {
        for account in accounts {
            let (client, asked) = clients
                .iter()
                .flat_map(|told| told.accounts.iter().map(move |account| (told, account)))
                .find(|(_, asked)| same_end(asked.local, account.peer))
                .unwrap_or_else(|| panic!("{pod} was asked by a stranger: {account:?}"));
            let attributes =
                record(logs, "destination", asked).unwrap_or_else(|| panic!("not reported: {account:?}"));
            let expected = expected(&asked.target);
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
    assert_eq!(checked, clients.iter().map(|told| told.accounts.len() * 5 / 6).sum::<usize>());
}

/// What the server outside reported: the node's address for its clients. Whose it was is told by connection tracking or not at all.
fn assert_masqueraded(clients: &[Told], logs: &[FlatLog]) {
    let mut checked = 0;
    for (_, _, attributes) in logs {
        if attribute(attributes, "reporter") != "destination"
            || attribute(attributes, "destination.address") != "203.0.113.7"
        {
            continue;
        }
        let received = attribute(attributes, "longwave.tcp.received_bytes");
        let may_be = |told: &&Told| {
            let mut accounts = told.accounts.iter().filter(|account| account.target == "payments");
            accounts.any(|account| account.written.to_string() == received)
        };
        let source = attribute(attributes, "source.workload.name");
        let right = clients.iter().filter(may_be).any(|told| told.workload[0] == source);
        assert!(source == "unknown" || right, "{attributes:#?}");
        checked += 1;
    }
    assert_eq!(checked, ROUNDS + 1, "connections that the server outside reported");
}

/// Bytes sent, of all windows, of one flow between workloads.
fn sum(points: &[FlatPoint], reporter: &str, source: &str, destination: &str) -> u64 {
    let of_flow = |point: &&FlatPoint| {
        point.name == "longwave.tcp.workload.sent_bytes"
            && attribute(&point.attributes, "reporter") == reporter
            && attribute(&point.attributes, "source.workload.name") == source
            && attribute(&point.attributes, "destination.workload.name") == destination
    };
    points.iter().filter(of_flow).map(|point| point.value.parse::<u64>().unwrap()).sum()
}

/// Bytes sent by the test's pods, whatever they are called, of all windows.
fn all_sent(points: &[FlatPoint], reporter: &str) -> u64 {
    let known = ["client", "nightly"];
    let flows = ["web", "db", "host-a", "host-b", "payments-gateway"];
    known.iter().flat_map(|source| flows.map(|flow| sum(points, reporter, source, flow))).sum()
}

/// The windows' sums are the applications' counts, flow by flow.
fn assert_windows(clients: &[Told], points: &[FlatPoint]) {
    for told in clients {
        for destination in ["web", "db", "host-a", "host-b", "payments-gateway"] {
            let flow =
                told.accounts.iter().filter(|account| expected(&account.target).workload[0] == destination);
            let (written, read) = flow
                .fold((0, 0), |(written, read), account| (written + account.written, read + account.read));
            let source = told.workload[0];
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
