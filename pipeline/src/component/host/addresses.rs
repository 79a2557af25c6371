//! [`HostAddresses`]: the addresses of this host, in its own network namespace.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use hashbrown::HashSet;

use super::BootId;
use crate::model::ConnectionId;

/// How long the addresses are used before they are read again.
const KEPT_FOR: Duration = Duration::from_secs(10);
/// Minimum ratio of the time between two reads to the duration of a read. Bounds the cost on a host with very many routes.
const MIN_IDLE_RATIO: u32 = 1000;

/// Addresses of this host. Components share one list, which is read when it is needed.
pub struct HostAddresses {
    /// [`ConnectionId::boot`] of this boot of this host; `None` if unknown.
    boot: Option<u32>,
    /// [`ConnectionId::netns`] of the host's namespace; 0 if unknown.
    netns: u32,
    /// Folder of the namespace's tables.
    tables: PathBuf,
    list: RwLock<AddressList>,
}

struct AddressList {
    addresses: HashSet<IpAddr>,
    /// When they are read again.
    due: Instant,
}

/// Returns the addresses in the tables of a network namespace, which are in a folder like `/proc/self/net`.
pub fn addresses(tables: &Path) -> HashSet<IpAddr> {
    let open = |name| File::open(tables.join(name)).map(BufReader::new).ok();
    let v4 = open("fib_trie").into_iter().flat_map(v4).map(IpAddr::V4);
    let v6 = open("if_inet6").into_iter().flat_map(v6).map(IpAddr::V6);
    v4.chain(v6).collect()
}

// === impl HostAddresses ===

impl HostAddresses {
    /// Creates the list without reading it. `proc` is the path of `/proc`. The host's namespace is that of process 1, or if that is not
    /// accessible, the one of this process.
    pub fn new(proc: &Path) -> Self {
        let found = ["1", "self"].into_iter().find_map(|process| {
            let process = proc.join(process);
            let namespace = std::fs::metadata(process.join("ns/net")).ok()?;
            Some((u32::try_from(namespace.ino()).unwrap_or_default(), process.join("net")))
        });
        let (netns, tables) = found.unwrap_or_else(|| (0, proc.join("net")));
        let boot = BootId::read(proc).ok().map(BootId::short);
        let list = AddressList { addresses: HashSet::new(), due: Instant::now() };
        Self { boot, netns, tables, list: RwLock::new(list) }
    }

    /// Returns the host's namespace, as in [`ConnectionId::netns`]; 0 if unknown.
    pub fn netns(&self) -> u32 {
        self.netns
    }

    /// Returns whether the address belongs to this host, as seen by a socket: loopback addresses do so in the host's own namespace only.
    /// False for sockets of other boots and hosts, as in a replayed file.
    pub fn has(&self, address: IpAddr, socket: ConnectionId) -> bool {
        let is_foreign = socket.boot != 0 && self.boot.is_some_and(|boot| boot != socket.boot);
        if is_foreign || (address.is_loopback() && socket.netns != self.netns) {
            return false;
        }
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        if Instant::now() < list.due {
            return list.addresses.contains(&address);
        }
        drop(list);
        let started = Instant::now();
        let addresses = addresses(&self.tables);
        let found = addresses.contains(&address);
        let due = Instant::now() + KEPT_FOR.max(started.elapsed() * MIN_IDLE_RATIO);
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = AddressList { addresses, due };
        found
    }
}

/// Returns this host's addresses in the routing trie: an address, and in a line below it `/32 host LOCAL`. Reads line by line: the trie of
/// a router with all routes of the Internet has about 100 MB.
fn v4(trie: impl BufRead) -> impl Iterator<Item = Ipv4Addr> {
    let mut address = None;
    trie.lines().map_while(Result::ok).filter_map(move |line| {
        if let Some((_, text)) = line.split_once("|-- ") {
            address = text.trim().parse().ok();
            return None;
        }
        if line.contains("/32 host LOCAL") { address.take() } else { None }
    })
}

/// Returns the addresses of a list with one address a line, as 32 hex digits.
fn v6(list: impl BufRead) -> impl Iterator<Item = Ipv6Addr> {
    list.lines()
        .map_while(Result::ok)
        .filter_map(|line| Some(u128::from_str_radix(line.get(..32)?, 16).ok()?.into()))
}

#[cfg(test)]
mod tests;
