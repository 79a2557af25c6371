//! Resolves the owner of a socket.
//!
//! A passive open happens in a softirq, where the current process can be any process. The owner is then that of the listener.

use hashbrown::HashMap;
use longwave_ebpf_abi::{self as abi, ListenEvent, Tuple, kind};
use longwave_pipeline::model::{Owner, OwnerSource};

/// Listening sockets by network namespace and port.
#[derive(Debug, Default)]
pub struct Listeners {
    by_port: HashMap<(u32, u16), Vec<Listener>, foldhash::fast::RandomState>,
    by_cookie: HashMap<u64, (u32, u16), foldhash::fast::RandomState>,
    version: u64,
}

/// cgroups that many services share. They do not identify the owner of a socket.
#[derive(Clone, Debug, Default)]
pub struct SharedCgroups(pub Vec<u64>);

#[derive(Clone, Debug)]
struct Listener {
    cookie: u64,
    local: [u8; 16],
    ipv6: bool,
    process: Process,
}

/// A process, or what several processes have in common. A field is 0 where they differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Process {
    socket_cgroup: u64,
    cgroup: u64,
    pid: u32,
    name: [u8; 16],
}

/// Listening sockets that are stored; a host has fewer.
const MAX_LISTENERS: usize = 65_536;

const ANY_V6: [u8; 16] = [0; 16];
const ANY_V4: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];

// === impl Listeners ===

impl Listeners {
    /// Adds or removes a listening socket. Returns false if there is no room for it. Seeding reports a socket once for each process that
    /// has a descriptor of it.
    pub fn apply(&mut self, event: &ListenEvent) -> bool {
        self.version += 1;
        if event.kind == kind::UNLISTEN {
            self.remove(event.cookie);
            return true;
        }
        let process = Process::from(&event.owner);
        let key = (event.owner.netns, event.tuple.local_port);
        if let Some(known) = self.by_cookie.get(&event.cookie).copied() {
            let listeners = self.by_port.get_mut(&known);
            if let Some(listener) = listeners.and_then(|l| l.iter_mut().find(|l| l.cookie == event.cookie))
                && known == key
                && listener.local == event.tuple.local
            {
                listener.process = listener.process.common(&process);
                return true;
            }
            // The socket listens on another port or address now: the UNLISTEN event was lost.
            self.remove(event.cookie);
        }
        if self.by_cookie.len() >= MAX_LISTENERS {
            return false;
        }
        self.by_cookie.insert(event.cookie, key);
        self.by_port.entry(key).or_default().push(Listener {
            cookie: event.cookie,
            local: event.tuple.local,
            ipv6: event.tuple.family == libc::AF_INET6 as u16,
            process,
        });
        true
    }

    /// Returns the number of events so far.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns whether a process listens on the connection's local end.
    pub fn has(&self, netns: u32, tuple: &Tuple) -> bool {
        self.process(netns, tuple).is_some()
    }

    fn remove(&mut self, cookie: u64) {
        let Some(key) = self.by_cookie.remove(&cookie) else { return };
        if let Some(listeners) = self.by_port.get_mut(&key) {
            listeners.retain(|listener| listener.cookie != cookie);
            if listeners.is_empty() {
                self.by_port.remove(&key);
            }
        }
    }

    /// Returns what the processes that listen on the connection's local end have in common. Only the listeners that match best count, in
    /// the order in which the kernel prefers them.
    fn process(&self, netns: u32, tuple: &Tuple) -> Option<Process> {
        let listeners = self.by_port.get(&(netns, tuple.local_port))?;
        let rank = |listener: &Listener| listener.rank(&tuple.local);
        let best = listeners.iter().filter_map(rank).max()?;
        let matching = listeners.iter().filter(|listener| rank(listener) == Some(best));
        matching.map(|listener| listener.process).reduce(|a, b| a.common(&b))
    }
}

// === impl Listener ===

impl Listener {
    /// Returns how well the listener matches a local address: 2 if it listens on that address, 1 if on the wildcard of the same family, 0
    /// if the address is IPv4 and it listens on the IPv6 wildcard. Returns `None` if it does not match.
    fn rank(&self, local: &[u8; 16]) -> Option<u8> {
        let v4 = local[..12] == ANY_V4[..12];
        if self.local == *local {
            Some(2)
        } else if self.local == if v4 { ANY_V4 } else { ANY_V6 } {
            Some(1)
        } else {
            (v4 && self.ipv6 && self.local == ANY_V6).then_some(0)
        }
    }
}

// === impl Process ===

impl Process {
    /// Returns what both have in common.
    fn common(&self, other: &Self) -> Self {
        fn same<T: PartialEq + Default + Copy>(a: T, b: T) -> T {
            if a == b { a } else { T::default() }
        }
        Self {
            socket_cgroup: same(self.socket_cgroup, other.socket_cgroup),
            cgroup: same(self.cgroup, other.cgroup),
            pid: same(self.pid, other.pid),
            name: same(self.name, other.name),
        }
    }
}

impl From<&abi::Owner> for Process {
    fn from(owner: &abi::Owner) -> Self {
        Self {
            socket_cgroup: owner.socket_cgroup,
            cgroup: owner.process_cgroup,
            pid: owner.pid,
            name: owner.name,
        }
    }
}

/// Returns the owner of a connection. Its cgroup is the first of these that is known: that of the socket, if it is not shared; that of the
/// process that has a descriptor of the socket; that of the process that listens on the local end (only with `server`); that of the socket.
pub fn resolve(
    owner: &abi::Owner,
    tuple: &Tuple,
    server: bool,
    listeners: &Listeners,
    shared: &SharedCgroups,
) -> Owner {
    let identifies = |cgroup: u64| cgroup != 0 && !shared.0.contains(&cgroup);
    let holder = Process::from(owner);
    let is_known = holder.pid != 0 && (identifies(holder.socket_cgroup) || holder.cgroup != 0);
    let listener = if server && !is_known { listeners.process(owner.netns, tuple) } else { None };

    let (pid, name) = match listener {
        Some(listener) if holder.pid == 0 => (listener.pid, listener.name),
        _ => (holder.pid, holder.name),
    };
    let listening = listener.unwrap_or_default();
    let candidates = [
        (identifies(holder.socket_cgroup), holder.socket_cgroup, OwnerSource::Socket),
        (holder.cgroup != 0, holder.cgroup, OwnerSource::Holder),
        (listening.cgroup != 0, listening.cgroup, OwnerSource::Listener),
        (identifies(listening.socket_cgroup), listening.socket_cgroup, OwnerSource::Listener),
        (holder.socket_cgroup != 0, holder.socket_cgroup, OwnerSource::Socket),
    ];
    let (cgroup, source) = candidates
        .into_iter()
        .find(|(fits, ..)| *fits)
        .map_or((0, OwnerSource::Unknown), |(_, cgroup, source)| (cgroup, source));
    Owner { cgroup, pid, source, name }
}

#[cfg(test)]
mod tests;
