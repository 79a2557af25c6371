//! The mount table: `/proc/<pid>/mountinfo`.

use std::path::PathBuf;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount<'a> {
    /// What of its file system it shows: a path, or `net:[<inode>]` of a namespace.
    pub root: String,
    /// Where.
    pub point: PathBuf,
    /// The file system's type.
    pub kind: &'a str,
}

/// The mounts in the text of a `mountinfo`, in its order. Lines that are none are left out.
pub fn mounts(mountinfo: &str) -> impl Iterator<Item = Mount<'_>> {
    mountinfo.lines().filter_map(|line| {
        // id parent major:minor root mount-point options [optional …] - type source options
        let (place, file_system) = line.split_once(" - ")?;
        let mut fields = place.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let kind = file_system.split(' ').next()?;
        Some(Mount { root: unescape(root), point: PathBuf::from(unescape(point)), kind })
    })
}

// === impl Mount ===

impl Mount<'_> {
    /// It keeps a network namespace (`ip netns add` and container runtimes do so), which its point is a way into.
    pub fn is_network_namespace(&self) -> bool {
        self.kind == "nsfs" && self.root.starts_with("net:[")
    }
}

/// Spaces, tabs, newlines and backslashes are written as `\040` and so on.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'\\'
            && let Some(digits) = after.get(..3)
            && let Ok(digits) = std::str::from_utf8(digits)
            && let Ok(byte) = u8::from_str_radix(digits, 8)
        {
            bytes.push(byte);
            rest = &after[3..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// *Scenario*: lines of a mount table: a kept network namespace, one whose path has a space, a kept pid namespace, a disk, nonsense.
    /// *Guarantees*: only the network namespaces are found, under their real paths.
    #[test]
    fn finds_kept_network_namespaces() {
        let found = |text| {
            let kept = mounts(text).filter(Mount::is_network_namespace);
            kept.map(|mount| mount.point).collect::<Vec<_>>()
        };
        let net = "44 26 0:4 net:[4026532281] /run/netns/a rw shared:7 - nsfs nsfs rw";
        assert_eq!(found(net), [PathBuf::from("/run/netns/a")]);
        let spaced = "44 26 0:4 net:[4026532281] /run/netns/a\\040b rw shared:7 - nsfs nsfs rw";
        assert_eq!(found(spaced), [PathBuf::from("/run/netns/a b")]);
        for other in [
            "44 26 0:4 pid:[4026532281] /run/x rw - nsfs nsfs rw",
            "26 1 254:0 / / rw,relatime - ext4 /dev/root rw",
            "nonsense",
        ] {
            assert!(found(other).is_empty(), "{other}");
        }
    }
}
