//! [`RemovedCgroups`]: cgroups that no longer exist and that late records may still have.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a removed cgroup is kept. The kernel closes an orphaned connection after 15 minutes of unanswered retransmissions
/// (`tcp_retries2`), and its last record follows immediately.
const KEPT_FOR: Duration = Duration::from_secs(16 * 60);

/// Ids of removed cgroups, in the order of their removal. Each is kept for 16 minutes.
#[derive(Debug, Default)]
pub struct RemovedCgroups {
    queue: VecDeque<(Instant, u64)>,
}

// === impl RemovedCgroups ===

impl RemovedCgroups {
    /// Adds a cgroup that was removed at `now`.
    pub fn push(&mut self, id: u64, now: Instant) {
        self.queue.push_back((now, id));
    }

    /// Removes the oldest one and returns its id if it was removed 16 minutes before `now` or earlier. Call it until it returns `None`.
    pub fn expired(&mut self, now: Instant) -> Option<u64> {
        let (_, id) = self.queue.pop_front_if(|(at, _)| now.saturating_duration_since(*at) >= KEPT_FOR)?;
        Some(id)
    }

    /// Removes the oldest one and returns its id.
    pub fn pop_oldest(&mut self) -> Option<u64> {
        self.queue.pop_front().map(|(_, id)| id)
    }

    /// Removes the ids for which `keep` returns false.
    pub fn retain(&mut self, mut keep: impl FnMut(u64) -> bool) {
        self.queue.retain(|(_, id)| keep(*id));
    }

    /// Returns the ids.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.queue.iter().map(|(_, id)| *id)
    }
}
