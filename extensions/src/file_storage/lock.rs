//! The file `STORE` in the directory of a store. Its lock excludes other processes. Its text is the version of the store's layout.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;
use std::time::{Duration, Instant};

use longwave_pipeline::component::ComponentError;
use rustix::fs::{FlockOperation, flock};

use super::config::FileStorageConfig;

pub(super) const STORE_FILE: &str = "STORE";
/// Version of the layout of the directory.
const LAYOUT: u32 = 1;
/// Time between two attempts to lock the file.
const ATTEMPTS_EVERY: Duration = Duration::from_millis(50);

/// What the text of the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreVersion {
    Known,
    Newer(u32),
    /// The text is empty, incomplete or damaged.
    Unreadable,
}

/// Creates the directory if it is missing, locks it, and checks its version. The lock ends when the file is closed.
///
/// # Errors
/// The directory cannot be used. The message names it, the likely cause and the remedy.
pub(super) fn lock(config: &FileStorageConfig) -> Result<File, ComponentError> {
    let directory = &config.directory;
    let shown = directory.display();
    if !directory.is_dir() {
        if !config.create_directory {
            return Err(missing(directory));
        }
        let mode = config.permissions().unwrap_or(0o750);
        DirBuilder::new().recursive(true).mode(mode).create(directory).map_err(|error| {
            let remedy = "create it for the user of Longwave, or choose another directory";
            ComponentError::with_source(format!("directory: {shown}: cannot be created: {remedy}"), error)
        })?;
    }
    let path = directory.join(STORE_FILE);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|error| {
        let cause = match error.kind() {
            io::ErrorKind::ReadOnlyFilesystem => "its file system is read-only: mount it writable",
            io::ErrorKind::PermissionDenied => "the user of Longwave may not write there: change its owner",
            _ => "cannot be written: check the disk",
        };
        let remedy = "or choose another directory";
        ComponentError::with_source(format!("directory: {shown}: {cause}, {remedy}"), error)
    })?;
    wait_for_lock(&file, config.timeout.get()).map_err(|error| {
        ComponentError::with_source(
            format!(
                "directory: {shown}: another process uses it: stop that one (is Longwave running twice?), or give each its own directory"
            ),
            error,
        )
    })?;
    check_version(&file, &path)?;
    Ok(file)
}

/// Explains that there is no directory.
pub(super) fn missing(directory: &Path) -> ComponentError {
    ComponentError::new(format!(
        "directory: {}: does not exist: create it, or set create_directory: true",
        directory.display()
    ))
}

fn wait_for_lock(file: &File, limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= deadline => return Err(error.into()),
            Err(_) => std::thread::sleep(ATTEMPTS_EVERY),
        }
    }
}

fn check_version(file: &File, path: &Path) -> Result<(), ComponentError> {
    let failed = |error| ComponentError::with_source(format!("directory: {}", path.display()), error);
    let mut text = Vec::new();
    file.take(1024).read_to_end(&mut text).map_err(failed)?;
    match StoreVersion::parse(&text) {
        StoreVersion::Known => Ok(()),
        StoreVersion::Newer(version) => Err(ComponentError::new(format!(
            "directory: {}: a newer Longwave has written this store (version {version}, this one reads up to {LAYOUT}): start the newer \
             one until its queues are empty, or choose another directory",
            path.display()
        ))),
        StoreVersion::Unreadable => {
            if !text.is_empty() {
                tracing::warn!(
                    path = %path.display(),
                    "file_storage: the file with the version of the store is damaged (was the disk full?), and is written again"
                );
            }
            let text = StoreVersion::text(LAYOUT);
            file.set_len(0).and_then(|()| file.write_all_at(text.as_bytes(), 0)).or_else(|error| {
                // A full disk must not prevent the start. The next start writes the version.
                if error.kind() == io::ErrorKind::StorageFull { Ok(()) } else { Err(failed(error)) }
            })
        }
    }
}

// === impl StoreVersion ===

impl StoreVersion {
    fn text(version: u32) -> String {
        let line = format!("longwave file_storage {version}");
        format!("{line} {:08x}\n", crc32fast::hash(line.as_bytes()))
    }

    pub(super) fn parse(text: &[u8]) -> Self {
        let version = std::str::from_utf8(text).ok().and_then(|text| text.split(' ').nth(2)?.parse().ok());
        match version {
            Some(version) if Self::text(version).as_bytes() == text => {
                if version > LAYOUT {
                    Self::Newer(version)
                } else {
                    Self::Known
                }
            }
            _ => Self::Unreadable,
        }
    }
}
