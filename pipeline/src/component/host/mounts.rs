//! Parses the mount table `/proc/<pid>/mountinfo`.

use std::path::PathBuf;

use crate::component::unescape;

/// One entry of the mount table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount<'a> {
    /// Root of the mount within its file system: a path, or `net:[<inode>]` for a namespace.
    pub root: String,
    /// Mount point.
    pub point: PathBuf,
    /// Type of the file system.
    pub kind: &'a str,
}

/// Returns the mounts in the text of a `mountinfo`, in its order. Skips malformed lines.
pub fn mounts(mountinfo: &str) -> impl Iterator<Item = Mount<'_>> {
    mountinfo.lines().filter_map(|line| {
        // id parent major:minor root mount-point options [optional …] - type source options
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let kind = file_system.split(' ').next()?;
        Some(Mount { root: unescaped(root), point: PathBuf::from(unescaped(point)), kind })
    })
}

// === impl Mount ===

impl Mount<'_> {
    /// Whether the mount keeps a network namespace alive, as the mounts of `ip netns add` and container runtimes do. To enter the
    /// namespace, open the mount point.
    pub fn is_network_namespace(&self) -> bool {
        self.kind == "nsfs" && self.root.starts_with("net:[")
    }
}

/// Replaces the escapes of spaces, tabs, newlines and backslashes (`\040` and so on).
fn unescaped(text: &str) -> String {
    unescape(text, "\\", 3, 8)
}

#[cfg(test)]
mod tests;
