//! Where cgroup2 is mounted.

use std::cmp::Reverse;
use std::path::PathBuf;

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
    let is_v1 = |line: &str| line.split_once(" - ").is_some_and(|(_, kind)| kind.starts_with("cgroup "));
    let beside_v1 = mountinfo.lines().any(is_v1);
    let mounts = mountinfo.lines().filter_map(|line| {
        // id parent major:minor root mount-point options [optional …] - type source options
        let (place, kind) = line.split_once(" - ")?;
        if kind.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = place.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        Some(Mount { point: PathBuf::from(unescape(point)), root: unescape(root), beside_v1 })
    });
    mounts.reduce(|best, next| if next.shows() > best.shows() { next } else { best })
}

/// Spaces, tabs, newlines and backslashes are written as `\040` and so on.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte.into());
                out.push_str(&part[3..]);
            }
            None => {
                out.push('\\');
                out.push_str(part);
            }
        }
    }
    out
}
