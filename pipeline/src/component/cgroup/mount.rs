//! [`Mount`]: where cgroup2 is mounted.

use std::cmp::Reverse;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::ROOT;
use crate::component::host;

/// A mount of cgroup2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Mount point.
    pub point: PathBuf,
    /// Cgroup at the root of the mount, relative to this process's cgroup namespace. It begins with `/..` if the process has a cgroup
    /// namespace of its own and the host's tree is mounted.
    pub root: String,
    /// Whether version 1 is mounted too. If containers are in version 1, their processes are in this mount's root.
    pub beside_v1: bool,
    /// Whether the mount has the whole tree, so that paths in it are those of the kernel.
    pub is_whole: bool,
}

// === impl Mount ===

impl Mount {
    /// Returns the mount of this host. `None` if there is none.
    pub fn of_this_host() -> Option<Self> {
        let mount = Self::find(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())?;
        let is_whole = std::fs::metadata(&mount.point).is_ok_and(|metadata| metadata.ino() == ROOT);
        Some(Self { is_whole, ..mount })
    }

    /// Finds the mount in the text of a `mountinfo`: `/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` if version 1 is mounted too. If there
    /// are several, returns the one with the largest part of the tree: in a container, the host's tree instead of the container's.
    pub fn find(mountinfo: &str) -> Option<Self> {
        let beside_v1 = host::mounts(mountinfo).any(|mount| mount.kind == "cgroup");
        let mounts = host::mounts(mountinfo).filter(|mount| mount.kind == "cgroup2");
        let mounts =
            mounts.map(|host::Mount { root, point, .. }| Self { point, root, beside_v1, is_whole: false });
        mounts.reduce(|best, next| if next.extent() > best.extent() { next } else { best })
    }

    /// Returns the mount of a whole tree at `point`.
    pub fn whole(point: PathBuf) -> Self {
        Self { point, root: "/".to_owned(), beside_v1: false, is_whole: true }
    }

    /// Converts a path from `/proc/<pid>/cgroup` to one relative to this mount, beginning with `/`. `None` if it is outside.
    pub fn below<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        let root = self.root.trim_end_matches('/').as_bytes();
        let below = path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with(b"/"))?;
        (!below.split(|byte| *byte == b'/').any(|part| part == b"..")).then_some(below)
    }

    /// Returns a sort key for how much of the tree is mounted: the number of levels above the process's own cgroup, then the number of
    /// levels below the root, of which fewer are better.
    fn extent(&self) -> (usize, Reverse<usize>) {
        let parts = || self.root.split('/').filter(|part| !part.is_empty());
        (parts().filter(|part| *part == "..").count(), Reverse(parts().filter(|part| *part != "..").count()))
    }
}
