//! One walk through all cgroups, in slices.

use std::collections::VecDeque;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Directories read in one walk: a bound on what a host full of cgroups can cost.
const MAX_DIRECTORIES: usize = 65_536;

/// A walk, breadth first.
pub(super) struct Scan {
    root: PathBuf,
    /// Directories to read, relative to the root, with a leading `/`.
    queue: VecDeque<String>,
    /// How many more may be read.
    left: usize,
}

// === impl Scan ===

impl Scan {
    /// From the root of the file system.
    pub fn of(root: &Path) -> Self {
        Self { root: root.to_owned(), queue: VecDeque::from([String::new()]), left: MAX_DIRECTORIES }
    }

    /// Reads directories for `slice` (or to the end) and shows inode and path of each that it finds. True when nothing is left to read.
    pub fn advance(&mut self, slice: Option<Duration>, mut found: impl FnMut(u64, &str)) -> bool {
        let started = Instant::now();
        while let Some(parent) = self.queue.pop_front() {
            let Some(left) = self.left.checked_sub(1) else { return true };
            self.left = left;
            // A directory may be gone by now: nobody is in it then.
            let entries =
                std::fs::read_dir(self.root.join(parent.trim_start_matches('/'))).into_iter().flatten();
            for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = format!("{parent}/{name}");
                // The kernel puts the inode into the directory entry: no stat for each cgroup.
                found(entry.ino(), &path);
                self.queue.push_back(path);
            }
            if slice.is_some_and(|slice| started.elapsed() >= slice) {
                return self.queue.is_empty();
            }
        }
        true
    }
}
