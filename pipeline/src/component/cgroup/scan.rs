//! [`Scan`]: reads all cgroup directories, in several time slices.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Maximum number of directories that one scan reads. Bounds its cost on a host with very many cgroups.
const MAX_DIRECTORIES: usize = 65_536;

/// A breadth-first scan.
#[derive(Debug)]
pub struct Scan {
    root: PathBuf,
    /// Directories to read, relative to the root, with a leading `/` except the root itself.
    queue: VecDeque<OsString>,
    /// Number of directories that may still be read.
    left: usize,
}

// === impl Scan ===

impl Scan {
    /// Creates a scan that begins at the root of the file system.
    pub fn of(root: &Path) -> Self {
        Self { root: root.to_owned(), queue: VecDeque::from([OsString::new()]), left: MAX_DIRECTORIES }
    }

    /// Reads directories for the time `slice`, or until the end if it is `None`. Calls `found` with the inode and the path of each; bytes
    /// of a path that are not UTF-8 are U+FFFD. Returns true if the scan is complete.
    pub fn advance(&mut self, slice: Option<Duration>, mut found: impl FnMut(u64, &str)) -> bool {
        let started = Instant::now();
        while let Some(parent) = self.queue.pop_front() {
            let Some(left) = self.left.checked_sub(1) else { return true };
            self.left = left;
            // A directory that was removed meanwhile had no process.
            let mut folder = self.root.clone().into_os_string();
            folder.push(&parent);
            let entries = std::fs::read_dir(folder).into_iter().flatten();
            for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                let mut path = parent.clone();
                path.push("/");
                path.push(entry.file_name());
                // The directory entry contains the inode, so no `stat` is needed.
                found(entry.ino(), &path.to_string_lossy());
                self.queue.push_back(path);
            }
            if slice.is_some_and(|slice| started.elapsed() >= slice) {
                return self.queue.is_empty();
            }
        }
        true
    }
}
