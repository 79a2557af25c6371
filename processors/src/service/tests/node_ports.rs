//! Tests of node ports at any address of this host.

use super::*;

const CLIENT: &str = "10.244.0.5:40000";
const BACKEND: &str = "10.244.0.9:8080";
/// The client after a masquerade.
const GATEWAY: &str = "10.244.0.1:40000";

/// Returns a `/proc` of a host with these addresses, and the id of its network namespace.
fn host(addresses: &[&str]) -> (tempfile::TempDir, u32) {
    let proc = tempfile::tempdir().unwrap();
    let own = proc.path().join("1");
    for folder in ["ns", "net"] {
        std::fs::create_dir_all(own.join(folder)).unwrap();
    }
    std::fs::write(own.join("ns/net"), "").unwrap();
    let line = |address: &&str| format!("|-- {address}\n /32 host LOCAL\n");
    std::fs::write(own.join("net/fib_trie"), addresses.iter().map(line).collect::<String>()).unwrap();
    let netns = HostAddresses::new(proc.path()).netns();
    (proc, netns)
}

fn in_netns(netns: u32, record: ConnectionRecord) -> ConnectionRecord {
    ConnectionRecord { id: ConnectionId { netns, ..record.id }, ..record }
}

/// *Scenario*: a client in a pod and one in the host's network connect to a node port, at the address that the API reports, at a second
/// address, at the gateway of the pods and at 127.0.0.1. The server's socket sees a masqueraded client.
/// *Guarantees*: both ends name the service, by connection tracking.
#[test]
fn any_address_of_the_host() {
    let (proc, host) = host(&["192.0.2.10", "192.0.2.11", "10.244.0.1", "127.0.0.1"]);
    for (address, own, local) in [
        ("192.0.2.10", 5, CLIENT),
        ("192.0.2.11", 5, CLIENT),
        ("10.244.0.1", 5, CLIENT),
        ("192.0.2.11", host, "192.0.2.10:40000"),
        ("127.0.0.1", host, "127.0.0.1:40000"),
    ] {
        let (tracking, original) = (FakeTracking::default(), format!("{address}:30080"));
        tracking.translate(local, &original, BACKEND, GATEWAY);
        let mut bench = Bench::with(0, Some(&tracking), Some(proc.path()));
        bench.first.node_port(30080, bench.service("web"));
        bench.first.backend(BACKEND, bench.service("other"));
        let client = in_netns(own, record(1, Role::Client, local, &original));
        let server = in_netns(6, record(2, Role::Server, BACKEND, GATEWAY));
        assert_eq!(bench.records(&[client.clone(), server.clone()]), "1:web 2:web", "{original}");
        bench.records(&[close(client), close(server)]);
        assert_eq!(tracking.forgotten(), 2, "{original}");
    }
}

/// *Scenario*: connections to the number of a node port at an address of another host, at 127.0.0.1 in a pod, at an address of this host where
/// another server listens, and in a file of another host; connections to other ports; a port that another program forwards. Then connection
/// tracking is not available.
/// *Guarantees*: none has the service of the node port. Connection tracking is queried only for a node port at an address of this host.
#[test]
fn other_connections_to_the_same_port() {
    let (proc, host) = host(&["192.0.2.11", "127.0.0.1"]);
    let tracking = FakeTracking::default();
    let mut bench = Bench::with(0, Some(&tracking), Some(proc.path()));
    bench.first.node_port(30080, bench.service("web"));
    for (number, (own, peer)) in
        [(5, "198.51.100.1:30080"), (5, "127.0.0.1:30080"), (host, "192.0.2.11:22")].into_iter().enumerate()
    {
        let client = in_netns(own, record(number as u64, Role::Client, CLIENT, peer));
        assert_eq!(bench.records(&[client]), format!("{number}:-"));
    }
    assert_eq!(tracking.queried(), [""; 0]);
    tracking.set(&format!("{CLIENT}>192.0.2.11:30080"), Translated::Same);
    let local = record(7, Role::Client, CLIENT, "192.0.2.11:30080");
    assert_eq!(bench.records(std::slice::from_ref(&local)), "7:-");
    assert_eq!(tracking.queried().len(), 1);
    // Another program forwards the port of another host to a local server.
    tracking.translate("198.51.100.7:40000", "198.51.100.1:30080", BACKEND, "198.51.100.7:40000");
    assert_eq!(bench.records(&[record(8, Role::Server, BACKEND, "198.51.100.7:40000")]), "8:-");

    let mut untracked = Bench::with(0, None, Some(proc.path()));
    untracked.first.node_port(30080, untracked.service("web"));
    assert_eq!(untracked.records(&[local]), "7:-");
}

/// *Scenario*: the translation of a client's connection to a node port is pending.
/// *Guarantees*: its record waits, and has the service once the translation is known.
#[test]
fn a_pending_translation() {
    let (proc, _) = host(&["192.0.2.11"]);
    let (tracking, original) = (FakeTracking::default(), "192.0.2.11:30080");
    tracking.set(&format!("{CLIENT}>{original}"), Translated::Pending);
    let mut bench = Bench::with(5, Some(&tracking), Some(proc.path()));
    bench.first.node_port(30080, bench.service("web"));
    assert_eq!(bench.records(&[record(1, Role::Client, CLIENT, original)]), "");
    tracking.translate(CLIENT, original, BACKEND, GATEWAY);
    assert_eq!(bench.pass_end(5), "1:web |");
}
