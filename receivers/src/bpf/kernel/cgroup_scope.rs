//! [`CgroupScope`]: the cgroups whose sockets are reported, as the setting `cgroup` selects them by a pattern.
//!
//! The kernel side reports the sockets of cgroups whose ids are in a map. User space decides by the path: once for those that exist, and
//! for each new one when the kernel reports its creation. Until then the kernel side reports the sockets of a new cgroup, and user space
//! discards their events if the cgroup does not match.

use std::collections::{HashSet, VecDeque};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use aya::maps::{HashMap, MapData};
use longwave_pipeline::component::cgroup::{Mount, Pattern, Scan};

/// Maximum number of cgroups in the scope, new ones included.
pub const MAX_SCOPE: u32 = 32_768;

/// How long a removed cgroup stays in the scope, because its last sockets may close later.
const KEPT_FOR: Duration = Duration::from_secs(16 * 60);

/// The cgroups in the scope.
pub struct CgroupScope {
    pattern: Pattern,
    mount: Mount,
    /// Ids of cgroups in the scope, and of new ones on which is not decided yet.
    ids: HashMap<MapData, u64, u32>,
    /// Ids of cgroups that match.
    included: HashSet<u64>,
    /// Removed cgroups that are still in the scope.
    removed: VecDeque<(Instant, u64)>,
}

// === impl CgroupScope ===

impl CgroupScope {
    /// Creates the scope without cgroups.
    pub fn new(pattern: &Pattern, mount: Mount, ids: HashMap<MapData, u64, u32>) -> Self {
        let pattern = pattern.below(&mount.point);
        Self { pattern, mount, ids, included: HashSet::new(), removed: VecDeque::new() }
    }

    /// Returns whether the sockets of a cgroup are reported.
    pub fn includes(&self, id: u64) -> bool {
        self.included.contains(&id)
    }

    /// Returns the pattern and the mount if no cgroup matches.
    pub fn without_match(&self) -> Option<(&Pattern, &Mount)> {
        self.included.is_empty().then_some((&self.pattern, &self.mount))
    }

    /// Returns whether the kernel's paths are those below the mount.
    pub fn can_follow_events(&self) -> bool {
        self.mount.is_whole
    }

    /// Decides on a new cgroup.
    pub fn created(&mut self, id: u64, path: &str) {
        if self.pattern.matches(path) {
            self.include(id);
        } else {
            // The entry is missing if the map was full.
            let _ = self.ids.remove(&id);
        }
    }

    /// Records that a cgroup was removed, and forgets those that were removed long ago.
    pub fn removed(&mut self, id: u64, now: Instant) {
        if self.included.contains(&id) {
            self.removed.push_back((now, id));
        }
        while let Some((at, id)) = self.removed.front().copied()
            && now.saturating_duration_since(at) >= KEPT_FOR
        {
            self.removed.pop_front();
            self.included.remove(&id);
            let _ = self.ids.remove(&id);
        }
    }

    /// Decides on all cgroups that exist.
    pub fn rescan(&mut self, now: Instant) {
        // Read before the directories: a cgroup that is created meanwhile is not among them.
        let undecided: Vec<u64> =
            self.ids.keys().flatten().filter(|id| !self.included.contains(id)).collect();
        let mut existing = HashSet::new();
        let mut matching = Vec::new();
        let pattern = &self.pattern;
        let mut found = |id, path: &str| {
            existing.insert(id);
            if pattern.matches(path) {
                matching.push(id);
            }
        };
        if let Ok(root) = std::fs::metadata(&self.mount.point) {
            found(root.ino(), "");
        }
        Scan::of(&self.mount.point).advance(None, found);
        matching.iter().for_each(|id| self.include(*id));
        for id in undecided.iter().filter(|id| !self.included.contains(id)) {
            let _ = self.ids.remove(id);
        }
        let is_listed = |id: &u64| self.removed.iter().any(|(_, removed)| removed == id);
        let gone: Vec<u64> =
            self.included.iter().filter(|id| !existing.contains(id) && !is_listed(id)).copied().collect();
        gone.iter().for_each(|id| self.removed(*id, now));
    }

    fn include(&mut self, id: u64) {
        self.included.insert(id);
        // If the map is full, the kernel side counts each new cgroup that did not fit.
        let _ = self.ids.insert(id, 0, 0);
    }
}
