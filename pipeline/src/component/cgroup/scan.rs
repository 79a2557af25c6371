//! [`Scan`]: reads all cgroup directories, in several time slices.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
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
    /// Whether no directory was left out.
    is_complete: bool,
}

// === impl Scan ===

impl Scan {
    /// Creates a scan that begins at the root of the file system.
    pub fn of(root: &Path) -> Self {
        Self::with_limit(root, MAX_DIRECTORIES)
    }

    /// Creates a scan that reads at most `left` directories.
    pub(super) fn with_limit(root: &Path, left: usize) -> Self {
        Self { root: root.to_owned(), queue: VecDeque::from([OsString::new()]), left, is_complete: true }
    }

    /// Returns whether all directories that existed have been found, if the scan is over. False if one could not be read, for example
    /// because this process has too many open files, or if there are more than 65,536.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Reads directories for the time `slice`, or until the end if it is `None`. Calls `found` with the inode and the path of each; bytes
    /// of a path that are not UTF-8 are U+FFFD. Returns true if the scan is over.
    pub fn advance(&mut self, slice: Option<Duration>, mut found: impl FnMut(u64, &str)) -> bool {
        let started = Instant::now();
        while let Some(parent) = self.queue.pop_front() {
            let Some(left) = self.left.checked_sub(1) else {
                self.is_complete = false;
                return true;
            };
            self.left = left;
            match self.read(&parent, &mut found) {
                Ok(()) => {}
                // A directory that was removed meanwhile had no process. The root always exists.
                Err(error) if error.kind() == ErrorKind::NotFound && !parent.is_empty() => {}
                Err(_) => self.is_complete = false,
            }
            if slice.is_some_and(|slice| started.elapsed() >= slice) {
                return self.queue.is_empty();
            }
        }
        true
    }

    /// Reads one directory, and adds those in it to the queue.
    fn read(&mut self, parent: &OsString, found: &mut impl FnMut(u64, &str)) -> io::Result<()> {
        let mut folder = self.root.clone().into_os_string();
        folder.push(parent);
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => {}
                Ok(_) => continue,
                Err(_) => {
                    self.is_complete = false;
                    continue;
                }
            }
            let mut path = parent.clone();
            path.push("/");
            path.push(entry.file_name());
            // The directory entry contains the inode, so no `stat` is needed.
            found(entry.ino(), &path.to_string_lossy());
            self.queue.push_back(path);
        }
        Ok(())
    }
}
