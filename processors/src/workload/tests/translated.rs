//! Connections that are translated on their way.

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

/// Of this node: processes name local ends, so that a name by socket differs from one by address.
fn bench(pods: &[Pod], tracking: &FakeTracking) -> Bench {
    let fake = Fake::new(pods).translates(&["10.96.0.10", "192.168.0.1"]);
    Bench::new(&["cgroup", "kubernetes"], &[("kubernetes", &fake)], 0, Some(tracking))
}

/// *Scenario*: a client asks a cluster IP and a backend on this node answers, with the source kept and with it masqueraded; the records in
/// either order, in one batch and in two.
/// *Guarantees*: each end names the other by its socket, at the latest with the next record.
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

/// *Scenario*: the backend is on another node, as a pod and as somebody unknown.
/// *Guarantees*: it is named by its own address, not by the one that was asked.
#[test]
fn backends_elsewhere() {
    let tracking = FakeTracking::default();
    tracking.translate(CLIENT, SERVICE, BACKEND, CLIENT);
    let named = |pods: &[Pod]| bench(pods, &tracking).named(&client());
    assert_eq!(named(&[Pod::new("pod-server", "", "10.1.0.9")]), pair("curl", "pod-server"));
    assert_eq!(named(&[]), pair("curl", "-"));
}

/// *Scenario*: a server is asked from this node's or another node's address: masqueraded there by us, by another node, or not at all.
/// *Guarantees*: the client is named where this node translated, unknown where nobody can tell.
#[test]
fn masqueraded_sources() {
    let pods = [Pod::new("pod-client", "", "10.1.0.5")];
    let tracking = FakeTracking::default();
    assert_eq!(bench(&pods, &tracking).named(&server(MASQUERADED)), pair("nginx", "-"));
    assert_eq!(tracking.asked(), [format!("{BACKEND}>{MASQUERADED}")]);
    assert_eq!(bench(&pods, &tracking).named(&server("192.168.0.2:40000")), pair("nginx", "-"));
    assert_eq!(tracking.asked(), [""; 0]);
    tracking.translate(CLIENT, SERVICE, BACKEND, MASQUERADED);
    assert_eq!(bench(&pods, &tracking).named(&server(MASQUERADED)), pair("nginx", "pod-client"));
}

/// *Scenario*: connections that cannot be translated: to a pod, from a pod, over loopback; those that can, twice each, and their ends.
/// *Guarantees*: connection tracking is asked once for each that may be translated, and told of the end; never for others.
#[test]
fn it_is_asked_only_where_it_may_matter() {
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
    assert_eq!(tracking.asked(), [""; 0]);
    tracking.say(&format!("{CLIENT}>{SERVICE}"), Translated::Same);
    for record in [client(), client(), server(MASQUERADED), server(MASQUERADED)] {
        bench.named(&record);
    }
    assert_eq!(tracking.asked(), [format!("{CLIENT}>{SERVICE}"), format!("{BACKEND}>{MASQUERADED}")]);
    assert_eq!(tracking.forgotten(), 0);
    bench.records(&[closed(client()), closed(server(MASQUERADED))]);
    assert_eq!(tracking.forgotten(), 2);
}

/// *Scenario*: the answer of connection tracking takes a while; records wait for 5 s.
/// *Guarantees*: the records wait, in order, and go named when it has come. Meanwhile nobody is guessed.
#[test]
fn answers_that_take_a_while() {
    let tracking = FakeTracking::default();
    tracking.say(&format!("{CLIENT}>{SERVICE}"), Translated::Pending);
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

/// *Scenario*: Longwave is stopped while the answer of connection tracking is on its way.
/// *Guarantees*: it is waited for, a moment: the last records are named too.
#[test]
fn answers_that_come_while_it_stops() {
    let tracking = FakeTracking::default();
    let key = format!("{CLIENT}>{SERVICE}");
    tracking.say(&key, Translated::Pending);
    let fake = Fake::new(&[Pod::new("pod-server", "", "10.1.0.9")]).translates(&["10.96.0.10"]);
    let mut bench = Bench::new(&["cgroup", "kubernetes"], &[("kubernetes", &fake)], 5, Some(&tracking));
    assert_eq!(bench.records(&[client(), closed(client())]), vec![]);
    tracking.will_say(&key, CLIENT, SERVICE, BACKEND);
    let out = bench.batch(Batch::PassEnd(PassEnd { tick: at(7), last: true }));
    assert_eq!(names(&out), vec![pair("curl", "pod-server"); 2]);
}

/// *Scenario*: 20,000 translated connections come and go; an address and port of the first is used again for another backend.
/// *Guarantees*: those that ended are forgotten but for a bounded number; the new connection is named after its own backend.
#[test]
fn what_ended_is_forgotten() {
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
