//! Addresses of this host. A port without an address is published on all of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hashbrown::HashSet;

/// Returns the addresses of the network namespace that Longwave runs in.
pub(super) fn addresses() -> HashSet<IpAddr> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let mut found: HashSet<IpAddr> = v4(&read("/proc/self/net/fib_trie")).map(IpAddr::V4).collect();
    found.extend(v6(&read("/proc/self/net/if_inet6")).map(IpAddr::V6));
    found
}

/// Returns this host's addresses in the routing trie: an address, and in a line below it `/32 host LOCAL`.
fn v4(trie: &str) -> impl Iterator<Item = Ipv4Addr> {
    let mut address = None;
    trie.lines().filter_map(move |line| {
        if let Some((_, text)) = line.split_once("|-- ") {
            address = text.trim().parse().ok();
            return None;
        }
        if line.contains("/32 host LOCAL") { address.take() } else { None }
    })
}

/// Returns the addresses of a list with one address a line, as 32 hex digits.
fn v6(list: &str) -> impl Iterator<Item = Ipv6Addr> {
    list.lines().filter_map(|line| Some(u128::from_str_radix(line.get(..32)?, 16).ok()?.into()))
}

#[cfg(test)]
mod tests {
    use super::{v4, v6};

    /// *Scenario*: the kernel's tables with routes, broadcast addresses and the host's own.
    /// *Guarantees*: only the host's own addresses are found.
    #[test]
    fn the_hosts_own_addresses_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 10.1.0.0/16 2 0 2\n        |-- 10.1.0.0\n           /16 link UNICAST\n        |-- 10.1.2.3\n           /32 host LOCAL\n        |-- 10.1.255.255\n           /32 link BROADCAST\nLocal:\n        |-- 127.0.0.1\n           /32 host LOCAL\n";
        assert_eq!(
            v4(trie).map(|address| address.to_string()).collect::<Vec<_>>(),
            ["10.1.2.3", "127.0.0.1"]
        );
        let list = "00000000000000000000000000000001 01 80 10 80       lo\nfe800000000000000000000000000001 02 40 20 80     eth0\n";
        assert_eq!(v6(list).map(|address| address.to_string()).collect::<Vec<_>>(), ["::1", "fe80::1"]);
    }
}
