//! [`CgroupScope`]: the cgroups whose sockets are reported, as the setting `cgroup` selects them by a pattern.
//!
//! The kernel side reports the sockets of cgroups whose ids are in a map. User space decides by the path: once for those that exist, and
//! for each new one when the kernel reports its creation. Until then the kernel side reports the sockets of a new cgroup, and user space
//! discards their events if the cgroup does not match.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use aya::maps::{HashMap, MapData};
use longwave_pipeline::component::cgroup::{Mount, Pattern, RemovedCgroups, Scan};

/// Maximum number of cgroups in the scope, new ones included.
pub const MAX_SCOPE: u32 = 32_768;

/// Time until the next scan if one was incomplete, or if there was no room for a cgroup.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// The kernel side's map of cgroups.
pub trait ScopeMap {
    /// Adds a cgroup. Returns false if there is no room.
    fn insert(&mut self, id: u64) -> bool;
    /// Removes a cgroup, if it is there.
    fn remove(&mut self, id: u64);
    /// Returns the ids of all.
    fn ids(&self) -> Vec<u64>;
}

/// The cgroups in the scope.
pub struct CgroupScope<M = HashMap<MapData, u64, u32>> {
    pattern: Pattern,
    mount: Mount,
    /// Cgroups in the scope, and new ones that are not decided yet.
    map: M,
    /// Ids of cgroups that match and are in the map.
    included: HashSet<u64>,
    /// Ids of cgroups that match and for which there was no room.
    refused: HashSet<u64>,
    /// Number of cgroups that a scan found and for which there was no room.
    refused_by_scans: u64,
    /// Removed cgroups that are still in the scope.
    removed: RemovedCgroups,
    /// Time at which all cgroups are matched again. `None` if no cgroup is waiting for that.
    rescan_at: Option<Instant>,
}

// === impl ScopeMap ===

impl ScopeMap for HashMap<MapData, u64, u32> {
    fn insert(&mut self, id: u64) -> bool {
        HashMap::insert(self, id, 0, 0).is_ok()
    }

    fn remove(&mut self, id: u64) {
        // The entry is missing if the map was full.
        let _ = HashMap::remove(self, &id);
    }

    fn ids(&self) -> Vec<u64> {
        self.keys().flatten().collect()
    }
}

// === impl CgroupScope ===

impl<M: ScopeMap> CgroupScope<M> {
    /// Creates the scope without cgroups.
    pub fn new(pattern: &Pattern, mount: Mount, map: M) -> Self {
        let pattern = pattern.below(&mount.point);
        Self {
            pattern,
            mount,
            map,
            included: HashSet::new(),
            refused: HashSet::new(),
            refused_by_scans: 0,
            removed: RemovedCgroups::default(),
            rescan_at: None,
        }
    }

    /// Returns whether the sockets of a cgroup are reported.
    pub fn includes(&self, id: u64) -> bool {
        self.included.contains(&id)
    }

    /// Returns the pattern and the mount if no cgroup matches.
    pub fn without_match(&self) -> Option<(&Pattern, &Mount)> {
        (self.included.is_empty() && self.refused.is_empty()).then_some((&self.pattern, &self.mount))
    }

    /// Returns whether the kernel's paths are those below the mount.
    pub fn can_follow_events(&self) -> bool {
        self.mount.is_whole
    }

    /// Returns the number of cgroups that match, that existed before Longwave started or whose creation was missed, and for which there was
    /// no room. The kernel side counts others.
    pub fn refused(&self) -> u64 {
        self.refused_by_scans
    }

    /// Decides on a new cgroup.
    pub fn created(&mut self, id: u64, path: &str, now: Instant) {
        if !self.pattern.matches(path) {
            self.map.remove(id);
        } else if !self.include(id) {
            // The kernel side has counted it.
            self.refused.insert(id);
            self.rescan_at.get_or_insert(now + RETRY_AFTER);
        }
    }

    /// Records that a cgroup was removed, and evicts those that were removed long ago.
    pub fn removed(&mut self, id: u64, now: Instant) {
        if self.included.contains(&id) {
            self.removed.push(id, now);
        } else {
            self.refused.remove(&id);
            self.map.remove(id);
        }
        self.evict(now);
    }

    /// Makes the next pass decide on all cgroups again, because the path of a new one is unknown.
    pub fn missed(&mut self, now: Instant) {
        self.rescan_at = Some(now);
    }

    /// Evicts cgroups that were removed long ago. Decides on all cgroups again if `has_events` is false, or if some are left to decide.
    pub fn begin_pass(&mut self, has_events: bool, now: Instant) {
        self.evict(now);
        if !(has_events && self.can_follow_events()) || self.rescan_at.is_some_and(|at| at <= now) {
            self.rescan(now);
        }
    }

    /// Decides on all cgroups that exist. If not all could be found, decides on those that were, and tries again later.
    pub fn rescan(&mut self, now: Instant) {
        // Read before the directories: a cgroup that is created meanwhile is not among them.
        let undecided = self.map.ids();
        let mut existing = HashSet::new();
        let mut matching = HashSet::new();
        let pattern = &self.pattern;
        let mut found = |id, path: &str| {
            existing.insert(id);
            if pattern.matches(path) {
                matching.insert(id);
            }
        };
        if let Ok(root) = std::fs::metadata(&self.mount.point) {
            found(root.ino(), "");
        }
        let mut scan = Scan::of(&self.mount.point);
        scan.advance(None, found);
        let is_gone = |id: &u64| scan.is_complete() && !existing.contains(id);
        // First, as it makes room.
        for id in undecided.into_iter().filter(|id| !self.included.contains(id)) {
            if is_gone(&id) || (existing.contains(&id) && !matching.contains(&id)) {
                self.map.remove(id);
            }
        }
        let refused_before = std::mem::take(&mut self.refused);
        for id in matching {
            if !self.include(id) {
                self.refused.insert(id);
                self.refused_by_scans += u64::from(!refused_before.contains(&id));
            }
        }
        self.removed.retain(|id| !existing.contains(&id));
        let listed: HashSet<u64> = self.removed.ids().collect();
        for id in self.included.iter().filter(|id| is_gone(id) && !listed.contains(id)) {
            self.removed.push(*id, now);
        }
        let is_decided = scan.is_complete() && self.refused.is_empty();
        self.rescan_at = (!is_decided).then(|| now + RETRY_AFTER);
    }

    /// Adds a cgroup that matches. Returns false if there is no room.
    fn include(&mut self, id: u64) -> bool {
        let is_included = self.included.contains(&id) || self.map.insert(id);
        if is_included {
            self.included.insert(id);
        }
        is_included
    }

    fn evict(&mut self, now: Instant) {
        while let Some(id) = self.removed.expired(now) {
            self.included.remove(&id);
            self.map.remove(id);
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
