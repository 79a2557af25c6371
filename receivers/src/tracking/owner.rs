//! Resolves the owner of a socket.
//!
//! A passive open happens in a softirq, where the current process can be any process. The owner is then supposed to be that of the listener,
//! until the kernel side reports a process that has a descriptor of the socket, or that closes it.

use hashbrown::HashMap;
use longwave_ebpf_abi::{self as abi, ListenEvent, Tuple, flag, kind};
use longwave_pipeline::model::{Owner, OwnerSource};

/// Listening sockets by network namespace and port.
#[derive(Debug, Default)]
pub struct Listeners {
    by_port: HashMap<(u32, u16), Vec<Listener>, foldhash::fast::RandomState>,
    by_cookie: HashMap<u64, (u32, u16), foldhash::fast::RandomState>,
    version: u64,
    /// Number of the current walk of all descriptors.
    walk: u32,
}

/// cgroups that many services share. They do not identify the owner of a socket.
#[derive(Clone, Debug, Default)]
pub struct SharedCgroups(pub Vec<u64>);

#[derive(Clone, Debug)]
struct Listener {
    cookie: u64,
    local: [u8; 16],
    ipv6: bool,
    /// Fields that are equal for all processes that have a descriptor of it, at the walk `walk`.
    process: Process,
    walk: u32,
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
    /// Begins a walk of all descriptors, which reports each listening socket once for each process that has a descriptor of it. The processes
    /// of earlier walks are replaced.
    pub fn begin_walk(&mut self) {
        self.walk = self.walk.wrapping_add(1);
    }

    /// Adds or removes a listening socket. Returns false if there is no room for it.
    pub fn apply(&mut self, event: &ListenEvent) -> bool {
        if event.kind == kind::UNLISTEN {
            self.version += 1;
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
                let is_first = std::mem::replace(&mut listener.walk, self.walk) != self.walk;
                let process = if is_first { process } else { listener.process.common(&process) };
                self.version += u64::from(listener.process != process);
                listener.process = process;
                return true;
            }
            // The socket listens on another port or address now: the UNLISTEN event was lost.
            self.remove(event.cookie);
        }
        if self.by_cookie.len() >= MAX_LISTENERS {
            return false;
        }
        self.version += 1;
        self.by_cookie.insert(event.cookie, key);
        self.by_port.entry(key).or_default().push(Listener {
            cookie: event.cookie,
            local: event.tuple.local,
            ipv6: event.tuple.family == libc::AF_INET6 as u16,
            process,
            walk: self.walk,
        });
        true
    }

    /// Returns the number of changes so far.
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
    /// Returns whether it is the service manager. That opens listening sockets for services, and accepts no connections for them.
    fn is_init(&self) -> bool {
        self.pid == 1
    }

    /// Returns what both have in common. The service manager does not count beside another process.
    fn common(&self, other: &Self) -> Self {
        match (self.is_init(), other.is_init()) {
            (true, false) => return *other,
            (false, true) => return *self,
            _ => {}
        }
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

/// Returns the owner of a connection.
///
/// The process is that of the kernel's event, else with `server` what the processes that listen on the local end have in common. The cgroup is
/// the first of these that is not a shared one: that of the process, that of the socket, that of the listening socket. If all are shared or
/// unknown, it is that of the process, else that of the socket.
pub fn resolve(
    owner: &abi::Owner,
    flags: u16,
    tuple: &Tuple,
    server: bool,
    listeners: &Listeners,
    shared: &SharedCgroups,
) -> Owner {
    let (process, source) = match source(owner, flags) {
        Some(source) => (Process { socket_cgroup: 0, ..Process::from(owner) }, source),
        None => {
            let listener = if server { listeners.process(owner.netns, tuple) } else { None };
            let listener = listener.filter(|process| !process.is_init()).unwrap_or_default();
            let is_known = Process { socket_cgroup: 0, ..listener } != Process::default();
            (listener, if is_known { OwnerSource::Listener } else { OwnerSource::Unknown })
        }
    };
    let identifies = |cgroup: &u64| *cgroup != 0 && !shared.0.contains(cgroup);
    let own = [process.cgroup, owner.socket_cgroup, process.socket_cgroup].into_iter().find(identifies);
    let cgroup = own.unwrap_or(if process.cgroup != 0 { process.cgroup } else { owner.socket_cgroup });
    let source = match source {
        OwnerSource::Unknown if cgroup != 0 => OwnerSource::Socket,
        source => source,
    };
    Owner { cgroup, pid: process.pid, source, name: process.name }
}

/// Returns whether an event has a process that is more certain than one that was found by `known`.
pub fn is_more_certain(owner: &abi::Owner, flags: u16, known: OwnerSource) -> bool {
    match source(owner, flags) {
        Some(OwnerSource::Close) => known != OwnerSource::Close,
        Some(OwnerSource::Holder) => is_supposed(known),
        _ => false,
    }
}

/// Returns whether an owner that was found by `source` may be another process.
pub fn is_supposed(source: OwnerSource) -> bool {
    !matches!(source, OwnerSource::Connect | OwnerSource::Close | OwnerSource::Holder)
}

/// Returns how the kernel side found the process of an event; `None` if it has none.
fn source(owner: &abi::Owner, flags: u16) -> Option<OwnerSource> {
    match owner.pid {
        0 => None,
        _ if flags & flag::CLOSER != 0 => Some(OwnerSource::Close),
        _ if flags & flag::HOLDER != 0 || flags & flag::CLIENT == 0 => Some(OwnerSource::Holder),
        _ => Some(OwnerSource::Connect),
    }
}

#[cfg(test)]
mod tests;
