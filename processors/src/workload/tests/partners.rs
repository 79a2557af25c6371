//! Tests of records that wait for the socket at the other end, which is on this node and names its end better than its address does.

use longwave_pipeline::model::{Role, TcpState};

use super::fakes::*;
use super::*;
use crate::conntrack::Translated;

const CLIENT: &str = "10.1.0.5:5000";
const SERVICE: &str = "10.96.0.10:80";
const BACKEND: &str = "10.1.0.9:8080";
/// The client after a masquerade: this node's own address.
const MASQUERADED: &str = "192.168.0.1:40000";

fn record_of(role: Role, cookie: u64, comm: &str, local: &str, peer: &str) -> ConnectionRecord {
    ConnectionRecord {
        role,
        first: true,
        start_known: true,
        state: TcpState::Established,
        opened: at(1),
        observed: at(1),
        tick: at(5),
        ..record(cookie as u32, cookie, comm, local, peer)
    }
}

fn client() -> ConnectionRecord {
    record_of(Role::Client, 1, "curl", CLIENT, SERVICE)
}

fn server(peer: &str) -> ConnectionRecord {
    record_of(Role::Server, 2, "nginx", BACKEND, peer)
}

fn opened(record: ConnectionRecord) -> ConnectionRecord {
    ConnectionRecord { event: Event::Open, ..record }
}

/// Returns a later record of the connection.
fn later(record: ConnectionRecord) -> ConnectionRecord {
    ConnectionRecord { first: false, ..record }
}

/// A socket of this node with this address, so that the address is known to be this node's.
fn other(number: u64, address: &str) -> ConnectionRecord {
    later(record_of(Role::Client, number, "other", &format!("{address}:9"), "203.0.113.1:9"))
}

/// Creates a processor. Sockets are named by their processes and addresses by pods, so that the names differ as those of a container and
/// of its pod do.
fn bench(tracking: Option<&FakeTracking>) -> Bench {
    let pods = [Pod::new("pod-client", "", "10.1.0.5"), Pod::new("pod-server", "", "10.1.0.9")];
    let fake = Fake::new(&pods).translates(&["10.96.0.10", "192.168.0.1"]);
    let mut bench = Bench::new(&["cgroup", "kubernetes"], &[("kubernetes", &fake)], 5, tracking);
    bench.records(&[other(90, "10.1.0.5"), other(91, "192.168.0.1"), other(92, "10.1.0.9")]);
    bench
}

/// *Scenario*: a short connection through a service (with and without a masquerade) between two pods of this node. The records of the server
/// arrive before those of the client, or after them, in other batches; the client's look-up in connection tracking is pending until all
/// arrived. There are only closes, or an open before each.
/// *Guarantees*: all records of both ends have the name of the other end's socket, from the first one, in order, with the next batch.
#[test]
fn short_connections_through_a_service() {
    for seen in [CLIENT, MASQUERADED] {
        for order in [[0, 1], [1, 0]] {
            for with_opens in [false, true] {
                let tracking = FakeTracking::default();
                let keys = [format!("{CLIENT}>{SERVICE}"), format!("{BACKEND}>{seen}")];
                keys.iter().for_each(|key| tracking.set(key, Translated::Pending));
                let mut bench = bench(Some(&tracking));
                let both = [client(), server(seen)];
                for which in order {
                    let record = both[which].clone();
                    let records = if with_opens {
                        vec![opened(record.clone()), closed(later(record))]
                    } else {
                        vec![closed(record)]
                    };
                    assert_eq!(bench.records(&records), vec![], "{seen} {order:?}: waits");
                }
                tracking.translate(CLIENT, SERVICE, BACKEND, seen);
                let mut out = bench.records(&[other(93, "10.1.0.5")]);
                out.pop();
                let is_client = |record: &&ConnectionRecord| record.role == Role::Client;
                let (clients, servers): (Vec<_>, Vec<_>) =
                    out.iter().cloned().partition(|record| is_client(&record));
                let count = if with_opens { 2 } else { 1 };
                assert_eq!(names(&clients), vec![pair("curl", "nginx"); count], "{seen} {order:?}");
                assert_eq!(names(&servers), vec![pair("nginx", "curl"); count], "{seen} {order:?}");
                assert!(
                    clients.iter().chain(&servers).filter(|record| record.event == Event::Close).count() == 2
                );
                assert_eq!(bench.accounting.nodes()[0].held(), 0);
            }
        }
    }
}

/// *Scenario*: the same, and the result becomes known before the end of the pass without another batch.
/// *Guarantees*: the records of both ends leave at the end of the pass, although those of the server wait for those of the client.
#[test]
fn both_ends_leave_at_the_end_of_the_pass() {
    let tracking = FakeTracking::default();
    tracking.set(&format!("{CLIENT}>{SERVICE}"), Translated::Pending);
    let mut bench = bench(Some(&tracking));
    assert_eq!(bench.records(&[closed(server(CLIENT)), closed(client())]), vec![]);
    tracking.translate(CLIENT, SERVICE, BACKEND, CLIENT);
    let mut named = names(&bench.pass_end(5));
    named.sort();
    assert_eq!(named, [pair("curl", "nginx"), pair("nginx", "curl")]);
}

/// *Scenario*: the first records of a direct connection within this node are in two batches, without and with a pod's name for the address.
/// *Guarantees*: the first one waits for the second, and both have the names of the sockets.
#[test]
fn direct_connections() {
    let mut bench = bench(Some(&FakeTracking::default()));
    let client = record_of(Role::Client, 1, "curl", CLIENT, BACKEND);
    assert_eq!(bench.records(std::slice::from_ref(&client)), vec![]);
    assert_eq!(names(&bench.records(&[server(CLIENT)])), [pair("curl", "nginx"), pair("nginx", "curl")]);
    assert_eq!(names(&bench.records(&[closed(later(client))])), [pair("curl", "nginx")]);
    assert_eq!(names(&bench.records(&[closed(later(server(CLIENT)))])), [pair("nginx", "curl")]);
}

/// *Scenario*: the other end never has a record. Then its connection has more records, and a close.
/// *Guarantees*: the first record leaves after `hold`, with the name of the address. The connection does not wait again.
#[test]
fn the_wait_for_the_other_end_is_bounded() {
    let mut bench = bench(Some(&FakeTracking::default()));
    assert_eq!(bench.records(&[server(CLIENT)]), vec![]);
    assert_eq!(bench.pass_end(5), vec![]);
    assert_eq!(names(&bench.pass_end(10)), [pair("nginx", "pod-client")]);
    assert_eq!(names(&bench.records(&[closed(later(server(CLIENT)))])), [pair("nginx", "pod-client")]);
}

/// *Scenario*: records for which no other end can come soon: of a peer elsewhere, of a connection that is not established, of one that is
/// older than Longwave, that was found to be someone else's after the translation, or whose other end closed long ago; and any record where
/// connection tracking is off and the address has a name.
/// *Guarantees*: none waits.
#[test]
fn other_records_do_not_wait() {
    let tracking = FakeTracking::default();
    let mut bench_with = bench(Some(&tracking));
    let elsewhere = record_of(Role::Server, 3, "nginx", BACKEND, "203.0.113.7:5000");
    assert_eq!(bench_with.records(&[elsewhere.clone(), closed(later(elsewhere))]).len(), 2);
    let connecting = ConnectionRecord {
        state: TcpState::SynSent,
        ..record_of(Role::Client, 4, "curl", CLIENT, "10.1.0.9:81")
    };
    assert_eq!(bench_with.records(&[connecting]).len(), 1);
    let seeded = ConnectionRecord {
        start_known: false,
        ..record_of(Role::Server, 5, "nginx", BACKEND, "10.1.0.5:777")
    };
    assert_eq!(bench_with.records(&[seeded]).len(), 1);
    // The client is outside of this node, and this node masquerades it.
    tracking.translate("203.0.113.7:6000", "192.168.0.1:30080", BACKEND, MASQUERADED);
    let masqueraded = record_of(Role::Server, 6, "nginx", BACKEND, MASQUERADED);
    assert_eq!(bench_with.records(&[closed(masqueraded)]).len(), 1);
    // Both ends were reported. The client's end is removed because many others closed after it.
    let direct = record_of(Role::Client, 7, "curl", "10.1.0.5:7000", BACKEND);
    let accepted = record_of(Role::Server, 8, "nginx", BACKEND, "10.1.0.5:7000");
    bench_with.records(&[direct.clone(), accepted.clone(), closed(later(direct))]);
    for number in 0..9_000 {
        bench_with.records(&[closed(record_of(
            Role::Client,
            1_000 + number,
            "x",
            "10.1.0.5:1",
            "203.0.113.1:1",
        ))]);
    }
    assert_eq!(names(&bench_with.records(&[closed(later(accepted))])), [pair("nginx", "curl")]);

    let mut without = bench(None);
    assert_eq!(names(&without.records(&[closed(server(CLIENT))])), [pair("nginx", "pod-client")]);
}
