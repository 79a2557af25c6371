//! Tests with the connection tracking of a real kernel. The namespaces of two pods are connected to that of a host, with rules like those
//! of kube-proxy and sidecars.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use longwave_pipeline::model::{ConnectionId, ConnectionRecord, Endpoint, Event, Role, TcpState, UnixNanos};
use longwave_processors::conntrack::{Conntrack, Translated, Translation};
use longwave_testing::netns::{Netns, run};
use longwave_testing::{gate, harness, tests};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, netlink, send, socket_with};
use tempfile::TempDir;

const RULES: &str = "
table inet kube {
  chain services {
    ip daddr { 10.96.0.10, 10.96.0.11 } tcp dport 80 dnat ip to 10.78.2.2:PORT
    ip6 daddr { fd96::10, fd96::11 } tcp dport 80 dnat ip6 to [fd78:2::2]:PORT
  }
  chain prerouting { type nat hook prerouting priority -100; jump services; }
  chain output { type nat hook output priority -100; jump services; }
  chain postrouting {
    type nat hook postrouting priority 100;
    ct original ip daddr 10.96.0.11 masquerade
    ct original ip6 daddr fd96::11 masquerade
  }
}
";

const REDIRECT: &str = "
table inet sidecar {
  chain output {
    type nat hook output priority -100;
    ip daddr 10.97.0.1 tcp dport 80 redirect to :15001
    ip6 daddr fd97::1 tcp dport 80 redirect to :15001
  }
}
";

/// Pod `a` and pod `b` on a host.
struct Node {
    host: Netns,
    a: Netns,
    b: Netns,
    /// A directory like `/proc`, whose process 1 is in `host`.
    proc: TempDir,
    backend: TcpListener,
    _turn: gate::Turn,
}

/// A connection with both of its sockets.
struct Connection {
    client: TcpStream,
    server: TcpStream,
    opened: UnixNanos,
}

impl Node {
    fn new() -> Self {
        let turn = gate::privileged();
        let (host, a, b) = (Netns::new(), Netns::new(), Netns::new());
        for (number, pod) in [(1, &a), (2, &b)] {
            let (outside, v4, v6) =
                (format!("pod{number}"), format!("10.78.{number}."), format!("fd78:{number}::"));
            let peer = ["peer", "name", "eth0", "netns", pod.name()];
            let add = ["link", "add", &outside, "netns", host.name(), "type", "veth"];
            run("ip", &[&add[..], &peer[..]].concat());
            for (netns, device, end) in [(&host, outside.as_str(), 1), (pod, "eth0", 2)] {
                netns.run("ip", &["address", "add", &format!("{v4}{end}/24"), "dev", device]);
                netns.run("ip", &["address", "add", &format!("{v6}{end}/64"), "dev", device, "nodad"]);
                netns.run("ip", &["link", "set", device, "up"]);
            }
            pod.run("ip", &["route", "add", "default", "via", &format!("{v4}1")]);
            pod.run("ip", &["-6", "route", "add", "default", "via", &format!("{v6}1")]);
        }
        host.sysctl("net/ipv4/ip_forward", "1");
        host.sysctl("net/ipv6/conf/all/forwarding", "1");
        // The host's own sockets need routes to the addresses that exist only in rules.
        host.run("ip", &["route", "add", "10.96.0.0/16", "dev", "pod2"]);
        host.run("ip", &["-6", "route", "add", "fd96::/64", "dev", "pod2"]);
        rules(&host, &RULES.replace("PORT", "8080"));
        let proc = TempDir::new().unwrap();
        std::fs::create_dir_all(proc.path().join("1/ns")).unwrap();
        symlink(host.path(), proc.path().join("1/ns/net")).unwrap();
        for name in ["self", "thread-self", "sys"] {
            symlink(Path::new("/proc").join(name), proc.path().join(name)).unwrap();
        }
        let backend = b.enter(|| TcpListener::bind("[::]:8080").unwrap());
        Self { host, a, b, proc, backend, _turn: turn }
    }

    fn conntrack(&self) -> Conntrack {
        Conntrack::new(&opentelemetry::global::meter("test"), self.proc.path())
    }
}

impl Connection {
    fn open(from: &Netns, to: &str, listener: &TcpListener) -> Self {
        let opened = UnixNanos::now();
        let to: SocketAddr = to.parse().unwrap();
        let client = from.enter(|| TcpStream::connect_timeout(&to, Duration::from_secs(10)).unwrap());
        let (server, _) = listener.accept().unwrap();
        Self { client, server, opened }
    }

    fn record(&self, role: Role, netns: &Netns) -> ConnectionRecord {
        let socket = if role == Role::Client { &self.client } else { &self.server };
        ConnectionRecord {
            id: ConnectionId {
                netns: std::fs::metadata(netns.path()).unwrap().ino() as u32,
                cookie: rustix::net::sockopt::socket_cookie(socket).unwrap(),
                ..ConnectionId::default()
            },
            event: Event::Update,
            role,
            state: TcpState::Established,
            local: endpoint(socket.local_addr().unwrap()),
            peer: endpoint(socket.peer_addr().unwrap()),
            start_known: true,
            opened: self.opened,
            observed: UnixNanos::now(),
            ..ConnectionRecord::blank()
        }
    }

    /// Resets the connection. Returns the client's last record.
    fn reset(self, netns: &Netns) -> ConnectionRecord {
        let record = self.record(Role::Client, netns);
        let linger = Some(Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&self.client, linger).unwrap();
        drop(self.client);
        let mut server = self.server;
        let error = std::io::Read::read(&mut server, &mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        ConnectionRecord { event: Event::Close, observed: UnixNanos::now(), ..record }
    }
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint { address: address.ip().to_canonical(), port: address.port() }
}

fn rules(netns: &Netns, text: &str) {
    netns.enter(|| {
        let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        nft.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(nft.wait().unwrap().success());
    });
}

/// Removes all entries from a namespace's tracking table.
fn flush(netns: &Netns) {
    netns.enter(|| {
        let kind = (AddressFamily::NETLINK, SocketType::RAW, SocketFlags::empty());
        let socket = socket_with(kind.0, kind.1, kind.2, Some(netlink::NETFILTER)).unwrap();
        // IPCTNL_MSG_CT_DELETE without a tuple; NLM_F_REQUEST | NLM_F_ACK.
        let mut request = [20_u32.to_ne_bytes(), [0; 4], [0; 4], [0; 4], [0; 4]].concat();
        request[4..6].copy_from_slice(&0x102_u16.to_ne_bytes());
        request[6..8].copy_from_slice(&5_u16.to_ne_bytes());
        send(&socket, &request, SendFlags::empty()).unwrap();
    });
}

/// Queries until the result is not pending, and returns it.
fn result_of(conntrack: &Conntrack, record: &ConnectionRecord) -> Translated {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match conntrack.query(record) {
            Translated::Pending => assert!(Instant::now() < deadline, "no answer"),
            result => return result,
        }
        std::thread::yield_now();
    }
}

/// Returns the result for both sockets of a connection. Checks that the results are equal, and that no thread stays in a pod's namespace.
fn both(
    conntrack: &Conntrack,
    node: &Node,
    connection: &Connection,
    client_at: &Netns,
    server_at: &Netns,
) -> Translated {
    let client = result_of(conntrack, &connection.record(Role::Client, client_at));
    let server = result_of(conntrack, &connection.record(Role::Server, server_at));
    assert_eq!(client, server);
    // During look-ups, the thread is in other namespaces; afterwards it is in its own again.
    for pod in [&node.a, &node.b] {
        let inode = std::fs::metadata(pod.path()).unwrap().ino();
        let deadline = Instant::now() + Duration::from_secs(10);
        while threads_are_in(inode) {
            assert!(Instant::now() < deadline, "a thread keeps a pod's namespace alive");
            std::thread::yield_now();
        }
    }
    client
}

fn threads_are_in(inode: u64) -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let namespaces = tasks.map(|task| std::fs::metadata(task.path().join("ns/net")));
    namespaces.flatten().any(|metadata| metadata.ino() == inode)
}

/// *Scenario*: a pod reaches a backend through a cluster IP, with and without masquerade, from a pod and from the host itself, over IPv4
/// and IPv6.
/// *Guarantees*: client and server have the same translation, and it matches the addresses of their sockets.
fn cluster_ips_are_translated() {
    let node = Node::new();
    let conntrack = node.conntrack();
    let cases = [
        ("10.96.0.10:80", "10.78.1.2", false),
        ("[fd96::10]:80", "fd78:1::2", false),
        ("10.96.0.11:80", "10.78.1.2", true),
        ("[fd96::11]:80", "fd78:1::2", true),
    ];
    for (original, address, is_masqueraded) in cases {
        for from in [&node.a, &node.host] {
            let connection = Connection::open(from, original, &node.backend);
            let result = both(&conntrack, &node, &connection, from, &node.b);
            let seen = endpoint(connection.server.peer_addr().unwrap());
            let client = endpoint(connection.client.local_addr().unwrap());
            let expected = Translation {
                client,
                original: endpoint(original.parse().unwrap()),
                backend: endpoint(connection.server.local_addr().unwrap()),
                seen,
            };
            assert_eq!(result, Translated::To(expected));
            if std::ptr::eq(from, &node.a) {
                assert_eq!(client.address, address.parse::<IpAddr>().unwrap());
                assert_eq!(seen.address != client.address, is_masqueraded, "{seen} for {client}");
            }
        }
    }
}

/// *Scenario*: a sidecar's redirect inside a pod, whose packets never reach the host; untranslated connections from pod to pod and over a
/// pod's loopback, with and without tracking there.
/// *Guarantees*: both ends find the redirect; both ends of the other connections have the same addresses.
fn redirects_inside_a_pod_are_found() {
    let node = Node::new();
    let conntrack = node.conntrack();
    let inside = node.a.enter(|| TcpListener::bind("[::]:15001").unwrap());
    for loopback in ["127.0.0.1:15001", "[::1]:15001"] {
        let connection = Connection::open(&node.a, loopback, &inside);
        assert_eq!(both(&conntrack, &node, &connection, &node.a, &node.a), Translated::Same);
    }
    rules(&node.a, REDIRECT);
    // A namespace without tracked connections is not queried again for a second.
    let conntrack = node.conntrack();
    for original in ["10.97.0.1:80", "[fd97::1]:80"] {
        let connection = Connection::open(&node.a, original, &inside);
        let backend = endpoint(connection.server.local_addr().unwrap());
        let client = endpoint(connection.client.local_addr().unwrap());
        let expected =
            Translation { client, original: endpoint(original.parse().unwrap()), backend, seen: client };
        let result = both(&conntrack, &node, &connection, &node.a, &node.a);
        assert_eq!(result, Translated::To(expected));
    }
    for direct in ["10.78.2.2:8080", "[fd78:2::2]:8080"] {
        let connection = Connection::open(&node.a, direct, &node.backend);
        assert_eq!(both(&conntrack, &node, &connection, &node.a, &node.b), Translated::Same);
    }
    // The host still translates cluster IPs for the pod with redirects.
    let connection = Connection::open(&node.a, "10.96.0.10:80", &node.backend);
    let Translated::To(translation) = both(&conntrack, &node, &connection, &node.a, &node.b) else {
        panic!("not translated")
    };
    assert_eq!(translation.backend, endpoint("10.78.2.2:8080".parse().unwrap()));
}

/// *Scenario*: a connection is reset, the service gets another backend, and a new connection has the addresses of the first; both are
/// looked up afterwards. With and without the kernel's timestamps.
/// *Guarantees*: the new connection has its own backend; the result for the old connection is unknown.
fn a_successors_entry_is_not_taken() {
    let node = Node::new();
    let other = node.b.enter(|| TcpListener::bind("[::]:8081").unwrap());
    for timestamps in ["0", "1"] {
        node.host.sysctl("net/netfilter/nf_conntrack_timestamp", timestamps);
        let conntrack = node.conntrack();
        rules(&node.host, &format!("flush ruleset\n{}", RULES.replace("PORT", "8080")));
        let first = Connection::open(&node.a, "10.96.0.10:80", &node.backend);
        let port = first.client.local_addr().unwrap().port();
        let alive = first.record(Role::Client, &node.a);
        let known_while_alive = result_of(&node.conntrack(), &alive);
        let Translated::To(translation) = known_while_alive else { panic!("{known_while_alive:?}") };
        assert_eq!(translation.backend.port, 8080);
        let ended = first.reset(&node.a);
        rules(&node.host, &format!("flush ruleset\n{}", RULES.replace("PORT", "8081")));
        let opened = UnixNanos::now();
        let client = node.a.enter(|| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_reuse_address(true).unwrap();
            socket.bind(&SocketAddr::from(([10, 78, 1, 2], port)).into()).unwrap();
            socket.connect(&"10.96.0.10:80".parse::<SocketAddr>().unwrap().into()).unwrap();
            TcpStream::from(socket)
        });
        let second = Connection { client, server: other.accept().unwrap().0, opened };
        let results =
            [result_of(&conntrack, &ended), result_of(&conntrack, &second.record(Role::Client, &node.a))];
        let Translated::To(translation) = results[1] else { panic!("{results:?}") };
        assert_eq!(translation.backend.port, 8081);
        assert_eq!(results[0], Translated::Unknown, "timestamps {timestamps}");
    }
}

/// *Scenario*: a connection is older than Longwave, and its entry is removed before its last record. Another connection is not in the list.
/// *Guarantees*: the first connection is in the list that was read at the start. The result for the second is unknown, not untranslated.
fn connections_older_than_the_agent_are_listed() {
    let node = Node::new();
    let older = Connection::open(&node.a, "10.96.0.10:80", &node.backend);
    let conntrack = node.conntrack();
    let younger = Connection::open(&node.a, "10.96.0.11:80", &node.backend);
    assert!(matches!(result_of(&conntrack, &younger.record(Role::Client, &node.a)), Translated::To(_)));
    flush(&node.host);
    let record = ConnectionRecord { start_known: false, ..older.record(Role::Client, &node.a) };
    let Translated::To(translation) = result_of(&conntrack, &record) else { panic!("not listed") };
    assert_eq!(translation.backend, endpoint("10.78.2.2:8080".parse().unwrap()));
    let mut gone = Connection::open(&node.a, "10.96.0.10:80", &node.backend).reset(&node.a);
    flush(&node.host);
    gone.observed = UnixNanos(gone.observed.0 - 10_000_000_000);
    assert_eq!(result_of(&conntrack, &gone), Translated::Unknown);
}

/// *Scenario*: the process is not permitted to query (no CAP_NET_ADMIN); the pods' namespaces cannot be entered (no CAP_SYS_ADMIN).
/// *Guarantees*: without CAP_NET_ADMIN every result is unknown, and not pending from the second query on. Without CAP_SYS_ADMIN the host's
/// translations are found, and the results for connections that the host does not translate are unknown.
fn missing_capabilities_leave_things_unknown() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let node = Node::new();
    let connection = Connection::open(&node.a, "10.96.0.10:80", &node.backend);
    let direct = Connection::open(&node.a, "10.78.2.2:8080", &node.backend);
    let without = |missing: CapabilitySet, work: &(dyn Fn() + Sync)| {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let mut sets = capabilities(None).unwrap();
                sets.effective -= missing;
                set_capabilities(None, sets).unwrap();
                work();
            });
            thread.join().unwrap();
        });
    };
    let translated = connection.record(Role::Client, &node.a);
    let untranslated = direct.record(Role::Client, &node.a);
    without(CapabilitySet::NET_ADMIN, &|| {
        let conntrack = node.conntrack();
        assert_eq!(result_of(&conntrack, &translated), Translated::Unknown);
        assert_eq!(conntrack.query(&untranslated), Translated::Unknown);
    });
    // A process in the host's network needs no setns for the host's table.
    node.host.enter(|| {
        without(CapabilitySet::SYS_ADMIN, &|| {
            let conntrack = node.conntrack();
            assert!(matches!(result_of(&conntrack, &translated), Translated::To(_)));
            assert_eq!(result_of(&conntrack, &untranslated), Translated::Unknown);
        });
    });
}

fn main() -> ExitCode {
    harness::run(tests![
        cluster_ips_are_translated,
        redirects_inside_a_pod_are_found,
        a_successors_entry_is_not_taken,
        connections_older_than_the_agent_are_listed,
        missing_capabilities_leave_things_unknown,
    ])
}
