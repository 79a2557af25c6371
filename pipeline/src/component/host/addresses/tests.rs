use std::io::{self, Read};

use super::*;

const TRIE: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 10.1.0.0/16 2 0 2\n        |-- 10.1.0.0\n           /16 link UNICAST\n        |-- 10.1.2.3\n           /32 host LOCAL\n        |-- 10.1.255.255\n           /32 link BROADCAST\nLocal:\n        |-- 127.0.0.1\n           /32 host LOCAL\n";
const INET6: &str = "00000000000000000000000000000001 01 80 10 80       lo\nfe800000000000000000000000000001 02 40 20 80     eth0\n";

/// *Scenario*: the kernel's tables with routes, broadcast addresses and the host's own.
/// *Guarantees*: only the host's own addresses are found.
#[test]
fn the_hosts_own_addresses_are_read() {
    let found: Vec<String> = v4(TRIE.as_bytes()).map(|address| address.to_string()).collect();
    assert_eq!(found, ["10.1.2.3", "127.0.0.1"]);
    assert_eq!(
        v6(INET6.as_bytes()).map(|address| address.to_string()).collect::<Vec<_>>(),
        ["::1", "fe80::1"]
    );
}

/// *Scenario*: a routing trie without an end, after the host's addresses.
/// *Guarantees*: the addresses are found without reading all of it, so that the memory does not grow with the trie.
#[test]
fn a_long_trie_is_not_kept_in_memory() {
    let endless = BufReader::new(TRIE.as_bytes().chain(io::repeat(b'\n')));
    assert_eq!(v4(endless).take(2).count(), 2);
}

/// *Scenario*: sockets of the host's namespace, of another one, and of another boot; an address that is added later.
/// *Guarantees*: all see the host's addresses, except sockets of another boot. Loopback addresses are the host's in its own namespace only.
/// A new address is found once the list is read again.
#[test]
fn addresses_as_sockets_see_them() {
    let proc = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = proc.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("1/ns/net", "");
    write("1/net/fib_trie", TRIE);
    write("1/net/if_inet6", INET6);
    write("self/net/fib_trie", "        |-- 10.9.9.9\n           /32 host LOCAL\n");
    write("sys/kernel/random/boot_id", "00000007-0000-4000-8000-000000000000\n");
    let host = HostAddresses::new(proc.path());
    let own = ConnectionId { boot: 7, netns: host.netns(), ..ConnectionId::default() };
    assert_ne!(own.netns, 0);
    let (pod, foreign) = (ConnectionId { netns: own.netns + 1, ..own }, ConnectionId { boot: 8, ..own });
    let has = |socket| {
        ["10.1.2.3", "fe80::1", "127.0.0.1", "::1", "10.9.9.9"]
            .map(|address| host.has(address.parse().unwrap(), socket))
    };
    assert_eq!(has(own), [true, true, true, true, false]);
    assert_eq!(has(pod), [true, true, false, false, false]);
    assert_eq!(has(foreign), [false; 5]);
    write("1/net/fib_trie", "        |-- 10.9.9.9\n           /32 host LOCAL\n");
    assert!(!has(own)[4]);
    host.list.write().unwrap().due = Instant::now();
    assert_eq!(has(own), [false, true, false, true, true]);
}
