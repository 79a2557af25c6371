//! [`AppendFile`]: a file that is locked against other writers, and to which each write is appended whole or not at all.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

pub(crate) struct AppendFile {
    file: File,
    /// Length of the whole writes. Bytes after it are the rest of a failed write.
    len: u64,
    /// Length at which the disk is full, in tests.
    #[cfg(test)]
    capacity: u64,
}

// === impl AppendFile ===

impl AppendFile {
    /// Opens or creates a file, and locks it. Its content stays as it is.
    ///
    /// # Errors
    /// Why it cannot be written, with the remedy.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(|error| refusal(&error, path))?;
        let about = file.metadata().map_err(|error| error.to_string())?;
        if !about.is_file() {
            return Err(
                "is not a regular file: a write that fails halfway could not be undone; choose a file"
                    .to_owned(),
            );
        }
        // Other errors mean that the file system has no locks, so that other writers cannot be detected.
        if let Err(Errno::WOULDBLOCK) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            return Err(
                "is being written by another exporter or process: choose another file, or end that one"
                    .to_owned(),
            );
        }
        // The previous owner of the lock may have written until now.
        let len = file.metadata().map_err(|error| error.to_string())?.len();
        Ok(Self {
            file,
            len,
            #[cfg(test)]
            capacity: u64::MAX,
        })
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Makes `len` the length. The bytes after it are cut off by the next write at the latest.
    pub(crate) fn cut(&mut self, len: u64) {
        self.len = len;
    }

    /// Appends all of `bytes` or fails. Bytes that an earlier failure left after the whole writes are cut off first.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.trim()?;
        #[cfg(test)]
        self.fail_if_full(bytes)?;
        self.file.write_all_at(bytes, self.len)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Cuts off what follows the whole writes.
    pub(crate) fn trim(&self) -> io::Result<()> {
        if self.file.metadata()?.len() != self.len {
            self.file.set_len(self.len)?;
        }
        Ok(())
    }

    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Makes the disk full at this length of the file, for tests.
    #[cfg(test)]
    pub(crate) fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
    }

    /// Does what a full disk does: writes what has room, and fails.
    #[cfg(test)]
    fn fail_if_full(&self, bytes: &[u8]) -> io::Result<()> {
        let room = self.capacity.saturating_sub(self.len);
        if bytes.len() as u64 <= room {
            return Ok(());
        }
        self.file.write_all_at(&bytes[..room as usize], self.len)?;
        Err(io::Error::from(ErrorKind::StorageFull))
    }
}

/// Explains why the file cannot be opened, with the remedy.
fn refusal(error: &io::Error, path: &Path) -> String {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match error.kind() {
        ErrorKind::NotFound => {
            format!("{error}: the directory {} does not exist: create it", directory.display())
        }
        ErrorKind::PermissionDenied => {
            format!("{error}: this user may not write there: choose another path, or change its permissions")
        }
        ErrorKind::IsADirectory => format!("{error}: give the name of a file in it"),
        ErrorKind::ReadOnlyFilesystem => {
            format!("{error}: choose a path on a writable file system (in a container: mount a volume)")
        }
        _ => error.to_string(),
    }
}
