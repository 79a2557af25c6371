//! Remembers recently ended connections, to recognize what arrives after their end: samples of the pass that was under way, and a close
//! reported twice.

use hashbrown::HashMap;
use longwave_ebpf_abi::{ConnectionEvent, flag};

/// Ended connections by cookie. Two maps alternate, so that each entry is kept for at least one turn. Bounded.
#[derive(Debug, Default)]
pub struct RecentEnds {
    current: HashMap<u64, EndedConnection, foldhash::fast::RandomState>,
    previous: HashMap<u64, EndedConnection, foldhash::fast::RandomState>,
}

#[derive(Clone, Copy, Debug)]
struct EndedConnection {
    generation: u64,
    observed_ns: u64,
}

/// Entries in one map. If there are more, the older map is cleared early.
const MAX_ENTRIES: usize = 131_072;

/// The copies of the program run in one transition of the kernel, at most an interrupt apart.
const SAME_EVENT_NS: u64 = 100_000_000;

// === impl RecentEndsEnds ===

impl RecentEnds {
    /// Adds a connection that has ended.
    pub fn add(&mut self, cookie: u64, generation: u64, observed_ns: u64) {
        if self.current.len() >= MAX_ENTRIES {
            self.turn();
        }
        self.current.insert(cookie, EndedConnection { generation, observed_ns });
    }

    /// Returns whether the event belongs to a connection that has ended, or to an earlier one of the same socket.
    pub fn contains(&self, event: &ConnectionEvent) -> bool {
        let Some(ended) = self.current.get(&event.cookie).or_else(|| self.previous.get(&event.cookie)) else {
            return false;
        };
        if event.flags & flag::UNTRACKED != 0 {
            // Without a generation, time decides: soon after the end it is a second report, later another connection of the socket.
            return event.observed_ns.abs_diff(ended.observed_ns) < SAME_EVENT_NS;
        }
        event.generation <= ended.generation
    }

    /// Removes what was added before the previous turn.
    pub fn turn(&mut self) {
        self.previous = std::mem::take(&mut self.current);
    }
}
