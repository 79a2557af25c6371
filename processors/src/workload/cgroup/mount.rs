//! Where cgroup2 is mounted.

use std::cmp::Reverse;
use std::path::PathBuf;

use longwave_pipeline::component::host;

/// A mount of cgroup2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub point: PathBuf,
    /// Which cgroup it shows as its root, as this process sees cgroups: `/..` and more above the process's own, where that has a cgroup
    /// namespace and the host's tree is mounted.
    pub root: String,
    /// Version 1 is mounted too, and may have the containers: then processes are in this one's root.
    pub beside_v1: bool,
}

// === impl Mount ===

impl Mount {
    /// A whole tree at `point`.
    pub fn whole(point: PathBuf) -> Self {
        Self { point, root: "/".to_owned(), beside_v1: false }
    }

    /// A cgroup as `/proc/<pid>/cgroup` tells it, below this mount, beginning with `/`. `None` if it is outside.
    pub fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        let root = self.root.trim_end_matches('/');
        let below = path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        (!below.split('/').any(|part| part == "..")).then_some(below)
    }

    /// For comparing how much it shows: how many levels above the own cgroup it begins, else how few below the root.
    fn shows(&self) -> (usize, Reverse<usize>) {
        let parts = || self.root.split('/').filter(|part| !part.is_empty());
        (parts().filter(|part| *part == "..").count(), Reverse(parts().filter(|part| *part != "..").count()))
    }
}

/// The mount of cgroup2 in the text of `/proc/self/mountinfo`: `/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` beside version 1. Of several
/// the one that shows most: in a container the host's tree, if it is there, not the container's own. `None` if there is none.
pub fn find(mountinfo: &str) -> Option<Mount> {
    let beside_v1 = host::mounts(mountinfo).any(|mount| mount.kind == "cgroup");
    let mounts = host::mounts(mountinfo).filter(|mount| mount.kind == "cgroup2");
    let mounts = mounts.map(|host::Mount { root, point, .. }| Mount { point, root, beside_v1 });
    mounts.reduce(|best, next| if next.shows() > best.shows() { next } else { best })
}
