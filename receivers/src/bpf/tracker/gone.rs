//! Stores which connections closed, failed or vanished recently, to recognize events that arrive after that: samples of the pass that was
//! running, and a close that is reported twice.

use hashbrown::HashMap;
use longwave_ebpf_abi::{ConnectionEvent, flag, kind};

/// Gone connections by cookie. Two maps alternate, so that each entry outlives one rotation and is removed by the second. The number of
/// entries is bounded.
#[derive(Debug, Default)]
pub struct GoneConnections {
    current: HashMap<u64, GoneConnection, foldhash::fast::RandomState>,
    previous: HashMap<u64, GoneConnection, foldhash::fast::RandomState>,
    unassigned: UnassignedCloses,
}

/// Times of the closes that the kernel side could not assign to an entry of its table, by cookie. The sampler may find the entry later, and
/// report the same connection as vanished.
#[derive(Debug, Default)]
struct UnassignedCloses {
    current: HashMap<u64, u64, foldhash::fast::RandomState>,
    previous: HashMap<u64, u64, foldhash::fast::RandomState>,
    /// Time of the first close in `current`, in ns.
    since_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct GoneConnection {
    generation: u64,
    observed_ns: u64,
}

/// Most entries in one map. Above it, the maps rotate early.
const MAX_ENTRIES: usize = 131_072;

/// Longest time between two reports of one close, in ns. The copies of `state` run in one transition, at most an interrupt apart.
const SAME_EVENT_NS: u64 = 100_000_000;

/// Shortest time for which an unassigned close is stored, in ns: the sampler reports an entry after 60 s at the latest, in the next pass.
const UNASSIGNED_NS: u64 = 90_000_000_000;

// === impl GoneConnections ===

impl GoneConnections {
    /// Adds a connection.
    pub fn add(&mut self, cookie: u64, generation: u64, observed_ns: u64) {
        if self.current.len() >= MAX_ENTRIES {
            self.rotate();
        }
        self.current.insert(cookie, GoneConnection { generation, observed_ns });
    }

    /// Adds a close that the kernel side could not assign.
    pub fn add_unassigned(&mut self, cookie: u64, observed_ns: u64) {
        self.unassigned.add(cookie, observed_ns);
    }

    /// Returns whether the event belongs to a gone connection, or to an earlier one of the same socket.
    pub fn contains(&self, event: &ConnectionEvent) -> bool {
        if event.kind == kind::VANISHED && self.unassigned.contains(event) {
            return true;
        }
        let Some(gone) = self.current.get(&event.cookie).or_else(|| self.previous.get(&event.cookie)) else {
            return false;
        };
        if event.flags & flag::UNTRACKED != 0 {
            // It has no generation, so the time decides: shortly after the close it is a second report, later it is another connection of
            // the socket.
            return event.observed_ns.abs_diff(gone.observed_ns) < SAME_EVENT_NS;
        }
        event.generation <= gone.generation
    }

    /// Removes the entries that were added before the previous rotation.
    pub fn rotate(&mut self) {
        self.previous = std::mem::take(&mut self.current);
    }
}

// === impl UnassignedCloses ===

impl UnassignedCloses {
    fn add(&mut self, cookie: u64, observed_ns: u64) {
        if observed_ns.saturating_sub(self.since_ns) > UNASSIGNED_NS || self.current.len() >= MAX_ENTRIES {
            self.previous = std::mem::take(&mut self.current);
            self.since_ns = observed_ns;
        }
        self.current.insert(cookie, observed_ns);
    }

    /// Returns whether the connection of the event opened before an unassigned close of its socket.
    fn contains(&self, event: &ConnectionEvent) -> bool {
        let closed = self.current.get(&event.cookie).or_else(|| self.previous.get(&event.cookie));
        closed.is_some_and(|closed| event.generation < *closed)
    }
}
