//! Stores which connections closed, failed or vanished recently, to recognize what arrives afterwards: samples of the pass that was under way, and a close
//! reported twice.

use hashbrown::HashMap;
use longwave_ebpf_abi::{ConnectionEvent, flag};

/// Gone connections by cookie. Two maps alternate, so that each entry is kept for at least one turn. Bounded.
#[derive(Debug, Default)]
pub struct GoneConnections {
    current: HashMap<u64, GoneConnection, foldhash::fast::RandomState>,
    previous: HashMap<u64, GoneConnection, foldhash::fast::RandomState>,
}

#[derive(Clone, Copy, Debug)]
struct GoneConnection {
    generation: u64,
    observed_ns: u64,
}

/// Entries in one map. If there are more, the older map is cleared early.
const MAX_ENTRIES: usize = 131_072;

/// The copies of the program run in one transition of the kernel, at most an interrupt apart.
const SAME_EVENT_NS: u64 = 100_000_000;

// === impl GoneConnections ===

impl GoneConnections {
    /// Adds a connection.
    pub fn add(&mut self, cookie: u64, generation: u64, observed_ns: u64) {
        if self.current.len() >= MAX_ENTRIES {
            self.turn();
        }
        self.current.insert(cookie, GoneConnection { generation, observed_ns });
    }

    /// Returns whether the event belongs to a gone connection, or to an earlier one of the same socket.
    pub fn contains(&self, event: &ConnectionEvent) -> bool {
        let Some(gone) = self.current.get(&event.cookie).or_else(|| self.previous.get(&event.cookie)) else {
            return false;
        };
        if event.flags & flag::UNTRACKED != 0 {
            // Without a generation, time decides: soon afterwards it is a second report, later another connection of the socket.
            return event.observed_ns.abs_diff(gone.observed_ns) < SAME_EVENT_NS;
        }
        event.generation <= gone.generation
    }

    /// Removes what was added before the previous turn.
    pub fn turn(&mut self) {
        self.previous = std::mem::take(&mut self.current);
    }
}
