//! Which connections ended a moment ago, so that what comes after their end is recognized: samples of the pass that was under way, and
//! a close reported twice.

use hashbrown::HashMap;
use longwave_ebpf_abi::{ConnectionEvent, flag};

/// Ended connections, by cookie. Two sets take turns, so that each entry lives for at least one turn; bounded.
#[derive(Debug, Default)]
pub struct Recent {
    current: HashMap<u64, Ended, foldhash::fast::RandomState>,
    previous: HashMap<u64, Ended, foldhash::fast::RandomState>,
}

#[derive(Clone, Copy, Debug)]
struct Ended {
    generation: u64,
    observed_ns: u64,
}

/// Entries in one set; above it the older set is forgotten early.
const MOST: usize = 131_072;

/// Both copies of the program run in one event of the kernel, at most an interrupt apart.
const SAME_EVENT_NS: u64 = 100_000_000;

// === impl Recent ===

impl Recent {
    /// This connection has ended.
    pub fn add(&mut self, cookie: u64, generation: u64, observed_ns: u64) {
        if self.current.len() >= MOST {
            self.turn();
        }
        self.current.insert(cookie, Ended { generation, observed_ns });
    }

    /// The event is of a connection that has ended, or of one before it on the same socket.
    pub fn has(&self, event: &ConnectionEvent) -> bool {
        let Some(ended) = self.current.get(&event.cookie).or_else(|| self.previous.get(&event.cookie)) else {
            return false;
        };
        if event.flags & flag::UNTRACKED != 0 {
            // It carries no generation: a second report if it comes at once, else a later connection of the same socket.
            return event.observed_ns.abs_diff(ended.observed_ns) < SAME_EVENT_NS;
        }
        event.generation <= ended.generation
    }

    /// Forgets what was added before the previous turn.
    pub fn turn(&mut self) {
        self.previous = std::mem::take(&mut self.current);
    }
}
