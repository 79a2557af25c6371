//! Parses the mount table `/proc/<pid>/mountinfo`.

use std::path::PathBuf;

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
        Some(Mount { root: unescape(root), point: PathBuf::from(unescape(point)), kind })
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
mod tests;
