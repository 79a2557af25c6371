//! Stores which connections closed, failed or vanished recently, to recognize events that arrive after that: samples of the pass that was
//! running, and a close that is reported twice.

use hashbrown::HashMap;
use longwave_ebpf_abi::{ConnectionEvent, flag, kind};

/// Connections that are gone, and closes that were not assigned to one.
#[derive(Debug, Default)]
pub struct GoneConnections {
    connections: RecentValues<GoneConnection>,
    /// Times of the closes that the kernel side could not assign to an entry of its table. The sampler may find the entry later, and report
    /// the same connection as vanished.
    unassigned: RecentValues<u64>,
    /// Time of the last rotation of `unassigned` that [`UNASSIGNED_NS`] caused, in ns.
    unassigned_since_ns: u64,
}

/// Values by cookie. Two maps alternate, so that each value outlives one rotation and is removed by the second. The number of values is
/// bounded.
#[derive(Debug)]
struct RecentValues<T> {
    current: HashMap<u64, T, foldhash::fast::RandomState>,
    previous: HashMap<u64, T, foldhash::fast::RandomState>,
}

#[derive(Clone, Copy, Debug)]
struct GoneConnection {
    generation: u64,
    observed_ns: u64,
}

/// Most values in one map. Above it, the maps rotate early.
const MAX_ENTRIES: usize = 131_072;

/// Longest time between two reports of one close, in ns. The copies of `state` run in one transition, at most an interrupt apart.
const SAME_EVENT_NS: u64 = 100_000_000;

/// Shortest time for which an unassigned close is stored, in ns: the sampler reports an entry after 60 s at the latest, in the next pass.
const UNASSIGNED_NS: u64 = 90_000_000_000;

// === impl GoneConnections ===

impl GoneConnections {
    /// Adds a connection.
    pub fn add(&mut self, cookie: u64, generation: u64, observed_ns: u64) {
        self.connections.insert(cookie, GoneConnection { generation, observed_ns });
    }

    /// Adds a close that the kernel side could not assign.
    pub fn add_unassigned(&mut self, cookie: u64, observed_ns: u64) {
        if observed_ns.saturating_sub(self.unassigned_since_ns) > UNASSIGNED_NS {
            self.unassigned.rotate();
            self.unassigned_since_ns = observed_ns;
        }
        self.unassigned.insert(cookie, observed_ns);
    }

    /// Returns whether the event belongs to a gone connection, or to an earlier one of the same socket.
    pub fn contains(&self, event: &ConnectionEvent) -> bool {
        // A vanished connection that opened before an unassigned close of its socket is the one that closed.
        if event.kind == kind::VANISHED
            && self.unassigned.get(event.cookie).is_some_and(|closed| event.generation < *closed)
        {
            return true;
        }
        let Some(gone) = self.connections.get(event.cookie) else { return false };
        if event.flags & flag::UNTRACKED != 0 {
            // It has no generation, so the time decides: shortly after the close it is a second report, later it is another connection of
            // the socket.
            return event.observed_ns.abs_diff(gone.observed_ns) < SAME_EVENT_NS;
        }
        event.generation <= gone.generation
    }

    /// Removes the connections that were added before the previous rotation.
    pub fn rotate(&mut self) {
        self.connections.rotate();
    }
}

// === impl RecentValues ===

impl<T> Default for RecentValues<T> {
    fn default() -> Self {
        Self { current: HashMap::default(), previous: HashMap::default() }
    }
}

impl<T> RecentValues<T> {
    fn insert(&mut self, cookie: u64, value: T) {
        if self.current.len() >= MAX_ENTRIES {
            self.rotate();
        }
        self.current.insert(cookie, value);
    }

    fn get(&self, cookie: u64) -> Option<&T> {
        self.current.get(&cookie).or_else(|| self.previous.get(&cookie))
    }

    fn rotate(&mut self) {
        self.previous = std::mem::take(&mut self.current);
    }
}
