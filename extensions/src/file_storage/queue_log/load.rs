//! Reads the segments of a queue.

use std::io;
use std::path::{Path, PathBuf};

use longwave_pipeline::component::{ComponentError, StoredRecord};

use super::super::format::{self, VERSION};
use super::super::scan::Scan;
use super::{QueueLog, Segment};

/// What a directory of segments contains.
#[derive(Debug, Default)]
pub(in crate::file_storage) struct LoadedQueue {
    pub(in crate::file_storage) records: Vec<StoredRecord>,
    pub(in crate::file_storage) damage: Damage,
    /// Bytes of incomplete records that were cut off.
    pub(in crate::file_storage) cut_bytes: u64,
}

/// Damage that was found in segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::file_storage) struct Damage {
    /// Number of records whose headers are damaged, so that they are lost.
    pub(in crate::file_storage) lost_records: u64,
    /// Number of damaged parts that lose no record.
    pub(in crate::file_storage) harmless: u64,
}

/// Why a queue cannot be loaded.
#[derive(Debug)]
pub(in crate::file_storage) enum LoadError {
    Newer(PathBuf, u32),
    Io(PathBuf, io::Error),
}

// === impl QueueLog ===

impl QueueLog {
    /// Reads all segments. Cuts off incomplete records at their ends, and removes segments without pending records.
    pub(in crate::file_storage) fn load(&mut self) -> Result<LoadedQueue, LoadError> {
        let names = match self.disk.list(&self.directory) {
            // The first segment creates it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            names => names.map_err(|error| LoadError::Io(self.directory.clone(), error))?,
        };
        let mut firsts: Vec<u64> = names.iter().filter_map(|name| format::parse_segment_name(name)).collect();
        firsts.sort_unstable();
        self.segments.clear();
        self.active = None;
        let mut loaded = LoadedQueue::default();
        for first in firsts {
            self.load_segment(first, &self.directory.join(format::segment_name(first)), &mut loaded)?;
        }
        Ok(loaded)
    }

    fn load_segment(&mut self, first: u64, path: &Path, loaded: &mut LoadedQueue) -> Result<(), LoadError> {
        let failed = |error| LoadError::Io(path.to_owned(), error);
        let file = self.disk.open_to_read(path).map_err(failed)?;
        let bytes = file.read_all().map_err(failed)?;
        let scan = Scan::new(&bytes, first).map_err(|newer| LoadError::Newer(path.to_owned(), newer.0))?;
        loaded.records.extend(scan.pending().map(|record| record.header.stored_at(record.offset)));
        let last = scan.records.last().map_or(first, |record| record.header.sequence);
        self.next_sequence = self.next_sequence.max(last.saturating_add(1));
        let pending = scan.pending().count() as u64;
        // The process that created the segment may have been killed before it synced them.
        self.unsynced.directories.extend(self.directory.parent().map(Path::to_owned));
        self.unsynced.directories.insert(self.directory.clone());
        let Some(oldest) = scan.pending().next().map(|_| scan.records[0]) else {
            // All records are done, or none was completely written, or none can be read.
            self.damage_of_removed.add(scan.damage);
            return self.disk.remove(path).map_err(failed);
        };
        loaded.damage.add(scan.damage);
        let cut = bytes.len() as u64 - scan.complete_len;
        if cut > 0 {
            loaded.cut_bytes += cut;
            self.disk.open(path).and_then(|file| file.set_len(scan.complete_len)).map_err(failed)?;
        }
        self.unsynced.files.insert(first, (path.to_owned(), None));
        let newest = scan.records.last().map_or(oldest.header.written, |record| record.header.written);
        let written = (oldest.header.written, newest);
        let (len, marker) = (scan.complete_len, scan.marker.unwrap_or_default());
        self.segments.push_back(Segment {
            path: path.to_owned(),
            first,
            last,
            marker,
            len,
            pending,
            written,
        });
        Ok(())
    }
}

// === impl Damage ===

impl Damage {
    pub(in crate::file_storage) fn add(&mut self, other: Self) {
        self.lost_records += other.lost_records;
        self.harmless += other.harmless;
    }
}

// === impl LoadError ===

impl From<LoadError> for ComponentError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Newer(path, version) => Self::new(format!(
                "{}: a newer Longwave has written this file (version {version}, this one reads up to {VERSION}): start the newer one until \
                 the queue is empty, or remove the file, which loses its requests",
                path.display()
            )),
            LoadError::Io(path, source) => {
                let remedy = "check the disk, and that the user of Longwave owns the file";
                Self::with_source(format!("{}: cannot be read or changed: {remedy}", path.display()), source)
            }
        }
    }
}
