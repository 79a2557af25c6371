//! Tests of translated connections.

use longwave_pipeline::model::Role;

use super::fakes::*;
use super::*;
use crate::conntrack::Translated;

const CLIENT: &str = "10.1.0.5:5000";
const SERVICE: &str = "10.96.0.10:80";
const BACKEND: &str = "10.1.0.9:8080";
/// The client after a masquerade: this node's own address.
const MASQUERADED: &str = "192.168.0.1:40000";

fn client() -> ConnectionRecord {
    ConnectionRecord {
        role: Role::Client,
        observed: at(1),
        tick: at(5),
        ..record(1, 1, "curl", CLIENT, SERVICE)
    }
}

fn server(peer: &str) -> ConnectionRecord {
    ConnectionRecord {
        role: Role::Server,
        observed: at(1),
        tick: at(5),
        ..record(2, 2, "nginx", BACKEND, peer)
    }
}

/// Creates a processor. Local ends are named by their processes, so that names by socket and by address differ.
fn bench(pods: &[Pod], tracking: &FakeTracking) -> Bench {
    let fake = Fake::new(pods).translates(&["10.96.0.10", "192.168.0.1"]);
    Bench::new(&["cgroup", "kubernetes"], &[("kubernetes", &fake)], 0, Some(tracking))
}

/// *Scenario*: a client connects to a cluster IP and a backend on this node accepts, with and without a masquerade; the records are in
/// either order, in one batch and in two.
/// *Guarantees*: each record has the name of the other end's socket, at the latest from the next record.
#[test]
fn both_ends_on_this_node() {
    let pods = [Pod::new("pod-client", "", "10.1.0.5"), Pod::new("pod-server", "", "10.1.0.9")];
    for seen in [CLIENT, MASQUERADED] {
        for pods in [&pods[..], &[]] {
            let tracking = FakeTracking::default();
            tracking.translate(CLIENT, SERVICE, BACKEND, seen);
            let both = [client(), server(seen)];
            let expected = [pair("curl", "nginx"), pair("nginx", "curl")];
            assert_eq!(names(&bench(pods, &tracking).records(&both)), expected);
            let mut reversed = names(&bench(pods, &tracking).records(&[server(seen), client()]));
            reversed.reverse();
            assert_eq!(reversed, expected);
            for order in [[0, 1], [1, 0]] {
                let mut bench = bench(pods, &tracking);
                for which in order {
                    bench.named(&both[which]);
                }
                assert_eq!(
                    order.map(|which| bench.named(&both[which])),
                    order.map(|which| expected[which].clone())
                );
            }
        }
    }
}

/// *Scenario*: the backend is on another node; it is a pod, or has an unknown address.
/// *Guarantees*: it is named by its own address, not by the original one.
#[test]
fn backends_elsewhere() {
    let tracking = FakeTracking::default();
    tracking.translate(CLIENT, SERVICE, BACKEND, CLIENT);
    let named = |pods: &[Pod]| bench(pods, &tracking).named(&client());
    assert_eq!(named(&[Pod::new("pod-server", "", "10.1.0.9")]), pair("curl", "pod-server"));
    assert_eq!(named(&[]), pair("curl", "-"));
}

/// *Scenario*: a server's peer has an address of this node or of another one; the connection is masqueraded by this node, by another node,
/// or not at all.
/// *Guarantees*: the client is named if this node translated the connection, and unknown otherwise.
#[test]
fn masqueraded_sources() {
    let pods = [Pod::new("pod-client", "", "10.1.0.5")];
    let tracking = FakeTracking::default();
    assert_eq!(bench(&pods, &tracking).named(&server(MASQUERADED)), pair("nginx", "-"));
    assert_eq!(tracking.queried(), [format!("{BACKEND}>{MASQUERADED}")]);
    assert_eq!(bench(&pods, &tracking).named(&server("192.168.0.2:40000")), pair("nginx", "-"));
    assert_eq!(tracking.queried(), [""; 0]);
    tracking.translate(CLIENT, SERVICE, BACKEND, MASQUERADED);
    assert_eq!(bench(&pods, &tracking).named(&server(MASQUERADED)), pair("nginx", "pod-client"));
}

/// *Scenario*: connections that cannot be translated (to a pod, from a pod, over loopback), and connections that can be, with two records
/// each and a close.
/// *Guarantees*: connection tracking is queried once for each connection that may be translated, and frees its result at the close. It is
/// never queried for other connections.
#[test]
fn tracking_is_queried_only_for_translated_addresses() {
    let tracking = FakeTracking::default();
    let mut bench = bench(&[Pod::new("pod", "", "10.1.0.7"), Pod::new("pod", "", "10.1.0.5")], &tracking);
    let others = [
        ConnectionRecord { role: Role::Client, ..record(1, 11, "curl", CLIENT, "10.1.0.7:80") },
        ConnectionRecord { role: Role::Server, ..record(1, 12, "nginx", BACKEND, "10.1.0.7:999") },
        ConnectionRecord { role: Role::Server, ..record(1, 13, "nginx", BACKEND, "203.0.113.9:999") },
        ConnectionRecord { role: Role::Client, ..record(1, 14, "curl", "127.0.0.1:1000", "127.0.0.1:80") },
    ];
    bench.records(&others);
    bench.records(&others.map(closed));
    assert_eq!(tracking.queried(), [""; 0]);
    tracking.set(&format!("{CLIENT}>{SERVICE}"), Translated::Same);
    for record in [client(), client(), server(MASQUERADED), server(MASQUERADED)] {
        bench.named(&record);
    }
    assert_eq!(tracking.queried(), [format!("{CLIENT}>{SERVICE}"), format!("{BACKEND}>{MASQUERADED}")]);
    assert_eq!(tracking.forgotten(), 0);
    bench.records(&[closed(client()), closed(server(MASQUERADED))]);
    assert_eq!(tracking.forgotten(), 2);
}

/// *Scenario*: clients in a pod and in the host's network connect to a node port at a second address of the host, at the gateway of the pods
/// and at 127.0.0.1. The backend is on this node and sees the gateway's address, or is elsewhere. Other clients connect to the same port in
/// another namespace's loopback, to another port, and to another host.
/// *Guarantees*: both ends of the first have their peer's name. Connection tracking is not queried for the others.
#[test]
fn node_ports_at_any_address_of_the_host() {
    let fake = Fake::new(&[Pod::new("pod-server", "", "10.1.0.9")]).forwards(&[30080]);
    let sources = (&["cgroup", "kubernetes"], [("kubernetes", &fake)]);
    for (number, (address, in_host, local)) in [
        ("192.168.7.2", false, CLIENT),
        ("10.244.0.1", false, CLIENT),
        ("192.168.7.2", true, "192.168.0.1:5000"),
        ("127.0.0.1", true, "127.0.0.1:5000"),
    ]
    .into_iter()
    .enumerate()
    {
        let (tracking, original) = (FakeTracking::default(), format!("{address}:30080"));
        let seen = "10.244.0.1:40000";
        tracking.translate(local, &original, BACKEND, seen);
        let bench = || Bench::new(sources.0, &sources.1, 0, Some(&tracking));
        let client = |bench: &Bench| {
            let netns = if in_host { bench.host_netns() } else { 5 };
            ConnectionRecord { role: Role::Client, ..record(netns, 1, "curl", local, &original) }
        };
        let (mut of_client, mut of_both) = (bench(), bench());
        assert_eq!(of_client.named(&client(&of_client)), pair("curl", "pod-server"), "{number}");
        let client = client(&of_both);
        for _ in 0..2 {
            of_both.records(&[client.clone(), server(seen)]);
        }
        let both = names(&of_both.records(&[client, server(seen)]));
        assert_eq!(both, [pair("curl", "nginx"), pair("nginx", "curl")], "{number}");
        assert_eq!(bench().named(&server(seen)).0, "nginx");
        tracking.queried();
        let others = ["127.0.0.1:30080", "192.168.7.2:22", "203.0.113.9:30080"];
        for (cookie, peer) in others.into_iter().enumerate() {
            let other = record(6, 50 + cookie as u64, "wget", "10.1.0.6:5000", peer);
            assert_eq!(bench().named(&ConnectionRecord { role: Role::Client, ..other }), pair("wget", "-"));
        }
        assert_eq!(tracking.queried(), [""; 0]);
    }
}

/// *Scenario*: the result of connection tracking is pending; records wait for 5 s.
/// *Guarantees*: the records wait, in order, and leave with names when the result is known. Until then, no peer is guessed.
#[test]
fn records_wait_for_pending_translations() {
    let tracking = FakeTracking::default();
    tracking.set(&format!("{CLIENT}>{SERVICE}"), Translated::Pending);
    let fake = Fake::new(&[Pod::new("pod-server", "", "10.1.0.9"), Pod::new("wrong", "", "10.96.0.10")]);
    let fake = fake.translates(&["10.96.0.10"]);
    let mut bench = Bench::new(&["cgroup", "kubernetes"], &[("kubernetes", &fake)], 5, Some(&tracking));
    assert_eq!(bench.records(&[client(), closed(client())]), vec![]);
    tracking.translate(CLIENT, SERVICE, BACKEND, CLIENT);
    let other = record(7, 70, "other", "10.7.0.1:1", "10.7.0.2:2");
    let out = bench.records(&[other]);
    let expected = [pair("curl", "pod-server"), pair("curl", "pod-server"), pair("other", "-")];
    assert_eq!(names(&out), expected);
    assert!(out[1].event.is_end());
}

/// *Scenario*: Longwave is stopped while the result of connection tracking is pending.
/// *Guarantees*: the processor waits for the result for a short time, so that the last records are named too.
#[test]
fn a_stop_waits_for_pending_translations() {
    let tracking = FakeTracking::default();
    let key = format!("{CLIENT}>{SERVICE}");
    tracking.set(&key, Translated::Pending);
    let fake = Fake::new(&[Pod::new("pod-server", "", "10.1.0.9")]).translates(&["10.96.0.10"]);
    let mut bench = Bench::new(&["cgroup", "kubernetes"], &[("kubernetes", &fake)], 5, Some(&tracking));
    assert_eq!(bench.records(&[client(), closed(client())]), vec![]);
    tracking.set_late(&key, CLIENT, SERVICE, BACKEND);
    let out = bench.batch(Batch::PassEnd(PassEnd { tick: at(7), last: true }));
    assert_eq!(names(&out), vec![pair("curl", "pod-server"); 2]);
}

/// *Scenario*: 20,000 translated connections are closed; the addresses of one are reused by a connection to another backend.
/// *Guarantees*: only a bounded number of closed connections is kept; the new connection's peer has the name of its own backend.
#[test]
fn closed_connections_are_removed() {
    let tracking = FakeTracking::default();
    let pods = [Pod::new("old", "", "10.1.0.9"), Pod::new("new", "", "10.1.0.8")];
    let mut bench = bench(&pods, &tracking);
    for number in 0..20_000u64 {
        let local = format!("10.1.{}.{}:5000", number / 250, number % 250);
        tracking.translate(&local, SERVICE, BACKEND, &local);
        let record =
            ConnectionRecord { role: Role::Client, ..record(1, 100 + number, "curl", &local, SERVICE) };
        assert_eq!(bench.named(&closed(record)), pair("curl", "old"));
    }
    assert!(
        bench.processor.resolver.ends.translated() <= 8193,
        "{}",
        bench.processor.resolver.ends.translated()
    );
    assert_eq!(tracking.forgotten(), 20_000);
    tracking.translate("10.1.79.249:5000", SERVICE, "10.1.0.8:8080", "10.1.79.249:5000");
    let again = record(1, 1, "wget", "10.1.79.249:5000", SERVICE);
    assert_eq!(bench.named(&ConnectionRecord { role: Role::Client, ..again }), pair("wget", "new"));
}
