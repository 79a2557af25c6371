//! Whose socket is it? Passive opens happen in softirqs, where the current process is anybody: there the listeners tell.

use hashbrown::HashMap;
use longwave_ebpf_abi::{self as abi, ListenEvent, Tuple, kind};
use longwave_pipeline::model::{Owner, OwnerSource};

/// Who listens on what, by network namespace and port.
#[derive(Debug, Default)]
pub struct Listeners {
    by_port: HashMap<(u32, u16), Vec<Listener>, foldhash::fast::RandomState>,
    by_cookie: HashMap<u64, (u32, u16), foldhash::fast::RandomState>,
    version: u64,
}

/// cgroups that many services share, so that a socket's being in one tells nothing.
#[derive(Clone, Debug, Default)]
pub struct SharedCgroups(pub Vec<u64>);

#[derive(Clone, Debug)]
struct Listener {
    cookie: u64,
    local: [u8; 16],
    ipv6: bool,
    holder: Holder,
}

/// A process, as far as all the processes that fit agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Holder {
    socket_cgroup: u64,
    cgroup: u64,
    pid: u32,
    name: [u8; 16],
}

/// Listening sockets remembered; a host has fewer.
const MOST: usize = 65_536;

const ANY_V6: [u8; 16] = [0; 16];
const ANY_V4: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];

// === impl Listeners ===

impl Listeners {
    /// A socket began or stopped listening; false if there is no room for it. A socket that several processes hold is told of by seeding
    /// once for each.
    pub fn apply(&mut self, event: &ListenEvent) -> bool {
        self.version += 1;
        if event.kind == kind::UNLISTEN {
            self.remove(event.cookie);
            return true;
        }
        let holder = Holder::from(&event.owner);
        let key = (event.owner.netns, event.tuple.local_port);
        if let Some(known) = self.by_cookie.get(&event.cookie).copied() {
            let listeners = self.by_port.get_mut(&known);
            if let Some(listener) = listeners.and_then(|l| l.iter_mut().find(|l| l.cookie == event.cookie))
                && known == key
                && listener.local == event.tuple.local
            {
                listener.holder = listener.holder.common(&holder);
                return true;
            }
            // Bound anew since an UNLISTEN that was lost.
            self.remove(event.cookie);
        }
        if self.by_cookie.len() >= MOST {
            return false;
        }
        self.by_cookie.insert(event.cookie, key);
        self.by_port.entry(key).or_default().push(Listener {
            cookie: event.cookie,
            local: event.tuple.local,
            ipv6: event.tuple.family == libc::AF_INET6 as u16,
            holder,
        });
        true
    }

    /// Changes with every event.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether anybody listens on the connection's local end.
    pub fn has(&self, netns: u32, tuple: &Tuple) -> bool {
        self.holder(netns, tuple).is_some()
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

    /// What the processes that listen on the connection's local end have in common: of the best match, as the kernel ranks them.
    fn holder(&self, netns: u32, tuple: &Tuple) -> Option<Holder> {
        let listeners = self.by_port.get(&(netns, tuple.local_port))?;
        let rank = |listener: &Listener| listener.rank(&tuple.local);
        let best = listeners.iter().filter_map(rank).max()?;
        let matching = listeners.iter().filter(|listener| rank(listener) == Some(best));
        matching.map(|listener| listener.holder).reduce(|a, b| a.common(&b))
    }
}

// === impl Listener ===

impl Listener {
    /// How well it matches: the address itself, the family's wildcard, the IPv6 wildcard for IPv4; absent if not at all.
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

// === impl Holder ===

impl Holder {
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

impl From<&abi::Owner> for Holder {
    fn from(owner: &abi::Owner) -> Self {
        Self {
            socket_cgroup: owner.socket_cgroup,
            cgroup: owner.process_cgroup,
            pid: owner.pid,
            name: owner.name,
        }
    }
}

/// The owner of a connection, and where its cgroup is known from: the socket's own, unless that is shared; else its holder's; else that
/// of the process that listens on its local end (`server` only); else the shared one.
pub fn resolve(
    owner: &abi::Owner,
    tuple: &Tuple,
    server: bool,
    listeners: &Listeners,
    shared: &SharedCgroups,
) -> Owner {
    let telling = |cgroup: u64| cgroup != 0 && !shared.0.contains(&cgroup);
    let holder = Holder::from(owner);
    let listener = || if server { listeners.holder(owner.netns, tuple) } else { None };
    let known = holder.pid != 0 && (telling(holder.socket_cgroup) || holder.cgroup != 0);
    let listener = if known { None } else { listener() };

    let (pid, name) = match listener {
        Some(listener) if holder.pid == 0 => (listener.pid, listener.name),
        _ => (holder.pid, holder.name),
    };
    let listening = listener.unwrap_or_default();
    let candidates = [
        (telling(holder.socket_cgroup), holder.socket_cgroup, OwnerSource::Socket),
        (holder.cgroup != 0, holder.cgroup, OwnerSource::Holder),
        (listening.cgroup != 0, listening.cgroup, OwnerSource::Listener),
        (telling(listening.socket_cgroup), listening.socket_cgroup, OwnerSource::Listener),
        (holder.socket_cgroup != 0, holder.socket_cgroup, OwnerSource::Socket),
    ];
    let (cgroup, source) = candidates
        .into_iter()
        .find(|(fits, ..)| *fits)
        .map_or((0, OwnerSource::Unknown), |(_, cgroup, source)| (cgroup, source));
    Owner { cgroup, pid, source, name }
}

#[cfg(test)]
#[path = "owner_tests.rs"]
mod tests;
