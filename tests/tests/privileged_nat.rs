//! Services with translated addresses. The host's namespace has rules like those of kube-proxy, and a pod has redirects.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use longwave_testing::netns::{Netns, run};
use longwave_testing::{gate, harness, tests};
use longwave_tests::config::{logs, merged};
use longwave_tests::{Longwave, balance};
use serde_json::json;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);
/// Rules of the host. They apply only to packets to these addresses.
const RULES: &str = "
table inet longwave_test_kube {
  chain services {
    ip daddr { 10.96.77.10, 10.96.77.11 } tcp dport 80 dnat ip to 10.79.2.2:8080
    ip6 daddr { fd96:77::10, fd96:77::11 } tcp dport 80 dnat ip6 to [fd79:2::2]:8080
  }
  chain prerouting { type nat hook prerouting priority -100; jump services; }
  chain postrouting {
    type nat hook postrouting priority 100;
    ct original ip daddr 10.96.77.11 masquerade
    ct original ip6 daddr fd96:77::11 masquerade
  }
}
";
const REDIRECT: &str = "
table inet sidecar {
  chain output {
    type nat hook output priority -100;
    ip daddr 10.97.77.1 tcp dport 80 redirect to :15001
    ip6 daddr fd97:77::1 tcp dport 80 redirect to :15001
  }
}
";
const NAMES: &str = "
rules:
  - cidrs: [10.96.77.0/24, fd96:77::/64]
    ports: [80]
    service: {name: web, namespace: shop}
  - cidrs: [10.97.77.1/32, fd97:77::1/128]
    ports: [80]
    service: {name: meshed, namespace: shop}
";

/// Two pods on this host, with the settings of the host that they need. All changes are reverted when dropped.
struct Pods {
    a: Netns,
    b: Netns,
    forwarding: String,
}

const FORWARDING: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

impl Pods {
    fn new() -> Self {
        let (a, b) = (Netns::new(), Netns::new());
        for (number, pod) in [(1, &a), (2, &b)] {
            let (outside, v4, v6) =
                (format!("lwpod{number}"), format!("10.79.{number}."), format!("fd79:{number}::"));
            let peer = ["peer", "name", "eth0", "netns", pod.name()];
            run("ip", &[&["link", "add", &outside, "type", "veth"][..], &peer[..]].concat());
            let addresses = |device: &str, end: u32, run: &dyn Fn(&[&str])| {
                run(&["address", "add", &format!("{v4}{end}/24"), "dev", device]);
                run(&["address", "add", &format!("{v6}{end}/64"), "dev", device, "nodad"]);
                run(&["link", "set", device, "up"]);
            };
            addresses(&outside, 1, &|arguments| run("ip", arguments));
            addresses("eth0", 2, &|arguments| pod.run("ip", arguments));
            pod.run("ip", &["route", "add", "default", "via", &format!("{v4}1")]);
            pod.run("ip", &["-6", "route", "add", "default", "via", &format!("{v6}1")]);
            std::fs::write(format!("/proc/sys/net/ipv4/conf/{outside}/forwarding"), "1").unwrap();
        }
        // IPv6 forwards only if forwarding is enabled for all interfaces.
        let forwarding = std::fs::read_to_string(FORWARDING).unwrap();
        let pods = Self { a, b, forwarding };
        std::fs::write(FORWARDING, "1").unwrap();
        nft(RULES);
        pods.a.enter(|| nft(REDIRECT));
        pods
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        let _ = Command::new("nft").args(["delete", "table", "inet", "longwave_test_kube"]).status();
        let _ = std::fs::write(FORWARDING, &self.forwarding);
    }
}

/// Connects from `from` to `target`, which leads to `listener`. Returns client and server.
fn connect(from: &Netns, target: &str, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let target: SocketAddr = target.parse().unwrap();
    let client = from.enter(|| TcpStream::connect_timeout(&target, Duration::from_secs(10)).unwrap());
    (client, listener.accept().unwrap().0)
}

fn cookie(socket: &TcpStream) -> u64 {
    rustix::net::sockopt::socket_cookie(socket).unwrap()
}

fn nft(text: &str) {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success());
}

/// *Scenario*: a pod connects to a backend through cluster IPs (masqueraded and not), to a sidecar through a redirect in the pod, and
/// directly to the backend. Over IPv4 and IPv6, with connections that are older than Longwave, with long ones and with short ones.
/// *Guarantees*: every record of both ends names the service of the address to which the client connected. For direct connections it is
/// `unknown`.
fn both_reporters_name_the_service_that_the_client_connected_to() {
    let _turn = gate::privileged();
    let pods = Pods::new();
    let backend = pods.b.enter(|| TcpListener::bind("[::]:8080").unwrap());
    let sidecar = pods.a.enter(|| TcpListener::bind("[::]:15001").unwrap());
    let cases = [
        ("10.96.77.10:80", &backend, "web"),
        ("10.96.77.11:80", &backend, "web"),
        ("[fd96:77::10]:80", &backend, "web"),
        ("[fd96:77::11]:80", &backend, "web"),
        ("10.97.77.1:80", &sidecar, "meshed"),
        ("[fd97:77::1]:80", &sidecar, "meshed"),
        ("10.79.2.2:8080", &backend, "unknown"),
        ("[fd79:2::2]:8080", &backend, "unknown"),
    ];
    let mut expected = HashMap::new();
    let mut open = Vec::new();
    let mut all = |open: &mut Vec<_>| {
        for (target, listener, service) in cases {
            let pair = connect(&pods.a, target, listener);
            for end in [&pair.0, &pair.1] {
                expected.insert(cookie(end), (target, service));
            }
            open.push(pair);
        }
    };
    all(&mut open);
    let folder = TempDir::new().unwrap();
    let names = folder.path().join("names.yaml");
    std::fs::write(&names, NAMES).unwrap();
    let config = merged(
        logs(json!({"interval": "1s"})),
        json!({
            "extensions": {"static": {"file": names}},
            "processors": {"service": {"sources": ["static"]}},
            "service": {"extensions": ["static"], "pipelines": {"logs": {"processors": ["service"]}}},
        }),
    );
    let longwave = Longwave::start(config);
    all(&mut open);
    let mut short = Vec::new();
    all(&mut short);
    for (mut client, mut server) in short {
        server.write_all(b"at once").unwrap();
        drop(server);
        client.read_to_end(&mut Vec::new()).unwrap();
    }
    let long: Vec<u64> = open.iter().flat_map(|(client, server)| [cookie(client), cookie(server)]).collect();
    let mut updates: HashMap<u64, u32> = long.iter().map(|cookie| (*cookie, 0)).collect();
    longwave.await_records("two updates of each", LIMIT, |record| {
        if let Some(count) = updates.get_mut(&record.cookie()).filter(|_| record.event() == "update") {
            *count += 1;
        }
        updates.values().all(|count| *count >= 2)
    });
    drop(open);
    let finals: Vec<_> = expected.keys().map(|cookie| (*cookie, 1)).collect();
    assert!(longwave.await_finals(&finals, LIMIT), "ends are missing");
    longwave.records(|records| {
        for record in records {
            let Some((target, service)) = expected.get(&record.cookie()) else { continue };
            let named = record.service.as_deref();
            assert_eq!(named, Some(*service), "{} {} of {target}", record.role, record.event_name);
        }
    });
    balance::assert_balances(&longwave);
    assert!(longwave.stop().status.success());
}

fn main() -> ExitCode {
    harness::run(tests![both_reporters_name_the_service_that_the_client_connected_to,])
}
