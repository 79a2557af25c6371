//! [`MemoryDisk`]: a disk that stops at any operation, loses power, becomes full, or has wrong bits.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::file_storage::disk::{Disk, DiskFile};

/// A disk in memory. Clones share it.
#[derive(Clone, Default)]
pub(super) struct MemoryDisk(Arc<Mutex<Content>>);

#[derive(Clone, Default)]
struct Content {
    directories: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, usize>,
    files: Vec<FileContent>,
    /// What the names are after a power failure.
    durable_directories: BTreeSet<PathBuf>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Number of changes that still succeed. `None`: all.
    left: Option<u64>,
    changes: u64,
    /// Share of the bytes of the failing write that are written.
    share: f64,
    /// Capacity in bytes. `None`: no limit.
    capacity: Option<u64>,
    /// Kind of the error of all changes that follow.
    broken: Option<rustix::io::Errno>,
}

#[derive(Clone, Default)]
struct FileContent {
    bytes: Vec<u8>,
    durable: Vec<u8>,
}

struct OpenFile {
    disk: MemoryDisk,
    index: usize,
}

impl MemoryDisk {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap()
    }

    /// After `changes` changes, the next one is done in part (of a write, `share` of its bytes), and all others fail.
    pub(super) fn crash_after(&self, changes: u64, share: f64) {
        let mut content = self.lock();
        (content.left, content.share) = (Some(changes), share);
    }

    /// Returns the number of changes so far.
    pub(super) fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Returns the disk as the next process finds it.
    pub(super) fn after_kill(&self) -> Self {
        let mut content = self.lock().clone();
        content.left = None;
        content.broken = None;
        Self(Arc::new(Mutex::new(content)))
    }

    /// Returns the disk as the next process finds it after a power failure: without anything that was not synced.
    pub(super) fn after_power_failure(&self) -> Self {
        let disk = self.after_kill();
        let mut content = disk.lock();
        content.names = content.durable_names.clone();
        content.directories = content.durable_directories.clone();
        content.files.iter_mut().for_each(|file| file.bytes = file.durable.clone());
        drop(content);
        disk
    }

    pub(super) fn set_capacity(&self, capacity: Option<u64>) {
        self.lock().capacity = capacity;
    }

    /// Makes all changes fail, or succeed again.
    pub(super) fn set_broken(&self, errno: Option<rustix::io::Errno>) {
        self.lock().broken = errno;
    }

    pub(super) fn used(&self) -> u64 {
        let content = self.lock();
        content.names.values().map(|index| content.files[*index].bytes.len() as u64).sum()
    }

    /// Returns the paths of all files.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.lock().names.keys().cloned().collect()
    }

    /// Changes the bytes of a file.
    pub(super) fn edit(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut content = self.lock();
        let index = content.names[path];
        edit(&mut content.files[index].bytes);
    }

    pub(super) fn bytes(&self, path: &Path) -> Vec<u8> {
        let content = self.lock();
        content.files[content.names[path]].bytes.clone()
    }
}

impl Content {
    /// Counts a change. Returns whether it is done as a whole; if not, it is the one at which the process ends.
    fn change(&mut self) -> io::Result<bool> {
        if let Some(errno) = self.broken {
            return Err(errno.into());
        }
        self.changes += 1;
        match &mut self.left {
            None => Ok(true),
            Some(0) => {
                self.broken = Some(rustix::io::Errno::IO);
                Ok(false)
            }
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
        }
    }

    fn used(&self) -> u64 {
        self.names.values().map(|index| self.files[*index].bytes.len() as u64).sum()
    }
}

fn ended() -> io::Error {
    rustix::io::Errno::IO.into()
}

impl Disk for MemoryDisk {
    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let content = self.lock();
        if !content.directories.contains(directory) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let all = content.names.keys().chain(&content.directories);
        let within = all.filter(|path| path.parent() == Some(directory));
        Ok(within.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        let mut content = self.lock();
        if !content.change()? {
            return Err(ended());
        }
        content.directories.insert(directory.to_owned());
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut content = self.lock();
        let is_whole = content.change()?;
        assert!(content.directories.contains(path.parent().unwrap()));
        if content.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !is_whole {
            return Err(ended());
        }
        let index = content.files.len();
        content.files.push(FileContent::default());
        content.names.insert(path.to_owned(), index);
        Ok(Arc::new(OpenFile { disk: self.clone(), index }))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let index = self.lock().names.get(path).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(OpenFile { disk: self.clone(), index }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut content = self.lock();
        if !content.change()? {
            return Err(ended());
        }
        content.names.remove(path).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let mut content = self.lock();
        if !content.change()? {
            return Err(ended());
        }
        let content = &mut *content;
        content.durable_names.retain(|path, _| path.parent() != Some(directory));
        let names = content.names.iter().filter(|(path, _)| path.parent() == Some(directory));
        content.durable_names.extend(names.map(|(path, index)| (path.clone(), *index)));
        let below = content.directories.iter().filter(|path| path.parent() == Some(directory));
        content.durable_directories.extend(below.cloned());
        Ok(())
    }
}

impl DiskFile for OpenFile {
    fn read_all(&self) -> io::Result<Vec<u8>> {
        Ok(self.disk.lock().files[self.index].bytes.clone())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.disk.lock();
        let start = usize::try_from(offset).unwrap();
        let bytes = content.files[self.index].bytes.get(start..start + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut content = self.disk.lock();
        let is_whole = content.change()?;
        let share = if is_whole { 1.0 } else { content.share };
        let mut len = (bytes.len() as f64 * share) as usize;
        let offset = usize::try_from(offset).unwrap();
        let old = content.files[self.index].bytes.len();
        let mut result = if is_whole { Ok(()) } else { Err(ended()) };
        if let Some(capacity) = content.capacity {
            let room = usize::try_from(capacity.saturating_sub(content.used())).unwrap();
            if (offset + len).saturating_sub(old) > room {
                len = (old + room).saturating_sub(offset).min(len);
                result = Err(rustix::io::Errno::NOSPC.into());
            }
        }
        let file = &mut content.files[self.index].bytes;
        file.resize(old.max(offset + len), 0);
        file[offset..offset + len].copy_from_slice(&bytes[..len]);
        result
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut content = self.disk.lock();
        if !content.change()? {
            return Err(ended());
        }
        content.files[self.index].bytes.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut content = self.disk.lock();
        if !content.change()? {
            return Err(ended());
        }
        let file = &mut content.files[self.index];
        file.durable = file.bytes.clone();
        Ok(())
    }
}
