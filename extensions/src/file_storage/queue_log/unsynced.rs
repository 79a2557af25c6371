//! [`Unsynced`]: changes that a power failure could undo.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::disk::{Disk, DiskFile};

/// Changes that a power failure could undo.
#[derive(Default)]
pub(in crate::file_storage) struct Unsynced {
    /// Segments with new records or marks, by their first numbers. `None` if the segment is not open.
    pub(super) files: BTreeMap<u64, (PathBuf, Option<Arc<dyn DiskFile>>)>,
    /// Directories in which something was created or removed.
    pub(super) directories: BTreeSet<PathBuf>,
}

// === impl Unsynced ===

impl Unsynced {
    /// Makes all of them permanent.
    pub(in crate::file_storage) fn sync(self, disk: &dyn Disk) -> io::Result<()> {
        for (path, file) in self.files.into_values() {
            let file = match file {
                Some(file) => file,
                None => match disk.open_to_read(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    opened => opened?,
                },
            };
            file.sync()?;
        }
        self.directories.iter().try_for_each(|directory| disk.sync_directory(directory))
    }
}
