//! Finds the mount of cgroup2.

use std::cmp::Reverse;
use std::path::PathBuf;

use longwave_pipeline::component::host;

/// A mount of cgroup2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Its mount point.
    pub point: PathBuf,
    /// The cgroup at its root, relative to this process's cgroup namespace. It begins with `/..` where the process has a cgroup namespace
    /// of its own and the host's tree is mounted.
    pub root: String,
    /// Version 1 is mounted too. If it has the containers, their processes are in this mount's root.
    pub beside_v1: bool,
}

// === impl Mount ===

impl Mount {
    /// Returns the mount of a whole tree at `point`.
    pub fn whole(point: PathBuf) -> Self {
        Self { point, root: "/".to_owned(), beside_v1: false }
    }

    /// Converts a path from `/proc/<pid>/cgroup` to one relative to this mount, beginning with `/`. `None` if it is outside.
    pub fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        let root = self.root.trim_end_matches('/');
        let below = path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        (!below.split('/').any(|part| part == "..")).then_some(below)
    }

    /// Sort key for how much of the tree is mounted: levels above the own cgroup, then (fewer is more) levels below the root.
    fn extent(&self) -> (usize, Reverse<usize>) {
        let parts = || self.root.split('/').filter(|part| !part.is_empty());
        (parts().filter(|part| *part == "..").count(), Reverse(parts().filter(|part| *part != "..").count()))
    }
}

/// Finds the mount of cgroup2 in the text of `/proc/self/mountinfo`: `/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` beside version 1. If
/// there are several, returns the one with most of the tree: in a container, the host's tree rather than the container's own.
pub fn find(mountinfo: &str) -> Option<Mount> {
    let beside_v1 = host::mounts(mountinfo).any(|mount| mount.kind == "cgroup");
    let mounts = host::mounts(mountinfo).filter(|mount| mount.kind == "cgroup2");
    let mounts = mounts.map(|host::Mount { root, point, .. }| Mount { point, root, beside_v1 });
    mounts.reduce(|best, next| if next.extent() > best.extent() { next } else { best })
}
