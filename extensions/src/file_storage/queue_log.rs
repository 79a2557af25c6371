//! [`QueueLog`]: the segments of one queue.
//!
//! Records are appended to the last segment, if this process has created it. A record that is done is marked in place, which needs no room. A
//! segment without pending records is removed, and so is the oldest one when the store needs room, whatever it contains. So removing always
//! frees space.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use longwave_pipeline::component::{DropReason, NewRecord, RecordKey};
use longwave_pipeline::model::UnixNanos;

use super::disk::{Disk, DiskFile};
use super::format::{
    self, DONE, RECORD_HEADER_LEN, RecordHeader, RecordState, SEGMENT_HEADER_LEN, STATE_OFFSET,
};

mod load;
mod unsynced;

pub(super) use load::{Damage, LoadedQueue};
pub(super) use unsynced::Unsynced;

/// The segments of one queue, in the order of their records.
pub(super) struct QueueLog {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    segments: VecDeque<Segment>,
    /// The last segment, if it takes more records.
    active: Option<Arc<dyn DiskFile>>,
    next_sequence: u64,
    /// See [`StoredQueue::removed`](longwave_pipeline::component::StoredQueue::removed).
    removed: Vec<(u64, DropReason)>,
    /// Damage of segments that [`Self::load`] has removed, because they have no pending records.
    damage_of_removed: Damage,
    unsynced: Unsynced,
}

struct Segment {
    path: PathBuf,
    first: u64,
    /// Number of its last record.
    last: u64,
    marker: u64,
    /// Length of the file.
    len: u64,
    /// Number of records that are not done.
    pending: u64,
    /// Time of the first and of the last write.
    written: (UnixNanos, UnixNanos),
}

/// When a new segment begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct RotationLimits {
    /// Length from which a segment takes no more records.
    pub(super) bytes: u64,
    /// Age from which a segment takes no more records.
    pub(super) age: std::time::Duration,
}

// === impl QueueLog ===

impl QueueLog {
    /// Makes the log of a directory without reading it. [`Self::load`] reads it, and the first segment creates it.
    pub(super) fn new(disk: Arc<dyn Disk>, directory: PathBuf) -> Self {
        Self {
            disk,
            directory,
            segments: VecDeque::new(),
            active: None,
            next_sequence: 1,
            removed: Vec::new(),
            damage_of_removed: Damage::default(),
            unsynced: Unsynced::default(),
        }
    }

    /// Returns the damage of segments that were removed when they were loaded, once.
    pub(super) fn take_damage_of_removed(&mut self) -> Damage {
        std::mem::take(&mut self.damage_of_removed)
    }

    /// Returns the length of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    pub(super) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Returns the number of records that are not done.
    pub(super) fn pending(&self) -> u64 {
        self.segments.iter().map(|segment| segment.pending).sum()
    }

    /// Returns the maximum number of bytes that a record with a payload of `len` bytes adds.
    pub(super) fn needed(len: usize) -> u64 {
        (SEGMENT_HEADER_LEN + RECORD_HEADER_LEN + len) as u64
    }

    /// Appends a record. After an error it is not part of the log.
    pub(super) fn append(
        &mut self,
        new: &NewRecord,
        now: UnixNanos,
        limits: RotationLimits,
    ) -> io::Result<RecordKey> {
        if let Some(last) = self.segments.back()
            && (last.len >= limits.bytes || now.since(last.written.0) >= limits.age)
        {
            self.active = None;
        }
        let file = match &self.active {
            Some(file) => Arc::clone(file),
            None => self.create_segment(now)?,
        };
        let Some(segment) = self.segments.back_mut() else { return Err(io::Error::other("no segment")) };
        let (sequence, offset) = (self.next_sequence, segment.len);
        let record = format::record(segment.marker, sequence, now, new);
        self.unsynced.files.insert(segment.first, (segment.path.clone(), Some(Arc::clone(&file))));
        if let Err(error) = file.write_at(&record, offset) {
            if file.set_len(offset).is_err() {
                // The incomplete record stays. Only the end of a segment may have one, so the next record needs a new segment.
                segment.len = offset + record.len() as u64;
                self.next_sequence += 1;
                self.active = None;
            }
            return Err(error);
        }
        segment.len = offset + record.len() as u64;
        (segment.last, segment.written.1) = (sequence, now);
        segment.pending += 1;
        self.next_sequence += 1;
        let len = u32::try_from(new.bytes.len()).unwrap_or(u32::MAX);
        Ok(RecordKey { sequence, offset, len })
    }

    fn create_segment(&mut self, now: UnixNanos) -> io::Result<Arc<dyn DiskFile>> {
        let first = self.next_sequence;
        let path = self.directory.join(format::segment_name(first));
        if self.segments.is_empty() {
            self.disk.create_directory(&self.directory)?;
            self.unsynced.directories.extend(self.directory.parent().map(Path::to_owned));
        }
        let file = self.disk.create(&path)?;
        self.unsynced.directories.insert(self.directory.clone());
        let marker = fastrand::u64(..);
        if let Err(error) = file.write_at(&format::segment_header(marker), 0) {
            // If the file cannot be removed, the next start removes it. Until then its name cannot be used.
            if self.disk.remove(&path).is_err() {
                self.next_sequence += 1;
            }
            return Err(error);
        }
        let (len, written) = (SEGMENT_HEADER_LEN as u64, (now, now));
        self.segments.push_back(Segment { path, first, last: first, marker, len, pending: 0, written });
        self.active = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Opens the segment of a record for reading. Returns its file and its marker. `None` if the segment was removed.
    pub(super) fn locate(&self, key: RecordKey) -> Option<(io::Result<Arc<dyn DiskFile>>, u64)> {
        let index = self.index_of(key.sequence)?;
        let segment = &self.segments[index];
        let file = self.active_file(index).map_or_else(|| self.disk.open_to_read(&segment.path), Ok);
        Some((file, segment.marker))
    }

    fn index_of(&self, sequence: u64) -> Option<usize> {
        let index = self.segments.partition_point(|segment| segment.first <= sequence).checked_sub(1)?;
        (sequence <= self.segments[index].last).then_some(index)
    }

    fn active_file(&self, index: usize) -> Option<Arc<dyn DiskFile>> {
        self.active.clone().filter(|_| index + 1 == self.segments.len())
    }

    /// Marks a record as done. After an error the record counts as done, but a restart may return it.
    pub(super) fn done(&mut self, key: RecordKey) -> io::Result<()> {
        let Some(index) = self.index_of(key.sequence) else { return Ok(()) };
        let marked = self.mark(index, key);
        if let Ok(false) = marked {
            return Ok(());
        }
        let segment = &mut self.segments[index];
        segment.pending = segment.pending.saturating_sub(1);
        marked.map(drop)
    }

    /// Returns false if the record was done before.
    fn mark(&mut self, index: usize, key: RecordKey) -> io::Result<bool> {
        let file = self.active_file(index).map_or_else(|| self.disk.open(&self.segments[index].path), Ok)?;
        let (position, mut state) = (key.offset + STATE_OFFSET, [0]);
        file.read_at(&mut state, position)?;
        if RecordState::parse(state[0]).is_done {
            return Ok(false);
        }
        file.write_at(&[DONE], position)?;
        let segment = &self.segments[index];
        self.unsynced.files.entry(segment.first).or_insert_with(|| (segment.path.clone(), None));
        Ok(true)
    }

    /// Removes segments that are no longer needed.
    pub(super) fn remove_finished(&mut self) -> io::Result<()> {
        let mut index = 0;
        while index < self.segments.len() {
            let is_active = self.active.is_some() && index + 1 == self.segments.len();
            if self.segments[index].pending > 0 || is_active {
                index += 1;
            } else {
                self.remove(index)?;
            }
        }
        Ok(())
    }

    /// Returns the time of the first write to the oldest segment. `None` if it has no records, so that its removal would not free room.
    pub(super) fn oldest(&self) -> Option<UnixNanos> {
        let oldest = self.segments.front().filter(|segment| segment.len > SEGMENT_HEADER_LEN as u64);
        oldest.map(|segment| segment.written.0)
    }

    /// Returns whether everything in the oldest segment was written before this time.
    pub(super) fn oldest_is_before(&self, time: UnixNanos) -> bool {
        self.segments.front().is_some_and(|segment| segment.written.1 < time)
    }

    /// Removes the oldest segment with all its records. Returns the number of those that were not done, or `None` if there is no segment.
    pub(super) fn remove_oldest(&mut self, reason: DropReason) -> io::Result<Option<u64>> {
        let Some(oldest) = self.segments.front() else { return Ok(None) };
        let end = oldest.last.saturating_add(1);
        let pending = self.remove(0)?;
        if pending > 0 {
            match self.removed.last_mut() {
                Some((last, of)) if *of == reason => *last = end,
                _ => self.removed.push((end, reason)),
            }
            if self.removed.len() > MAX_REMOVALS {
                self.removed.remove(0);
            }
        }
        Ok(Some(pending))
    }

    /// Removes a segment. Returns the number of its records that were not done.
    fn remove(&mut self, index: usize) -> io::Result<u64> {
        let segment = &self.segments[index];
        match self.disk.remove(&segment.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.unsynced.files.remove(&segment.first);
        self.unsynced.directories.insert(self.directory.clone());
        let pending = segment.pending;
        if index + 1 == self.segments.len() {
            self.active = None;
        }
        self.segments.remove(index);
        Ok(pending)
    }

    pub(super) fn removed(&self) -> Vec<(u64, DropReason)> {
        self.removed.clone()
    }

    pub(super) fn take_unsynced(&mut self) -> Unsynced {
        std::mem::take(&mut self.unsynced)
    }
}

/// Maximum length of `QueueLog::removed`. An element is added only if the reason differs from the last one.
const MAX_REMOVALS: usize = 64;

/// Reads the payload of a record and verifies it. `Ok(None)` if it is not the one that was written.
pub(super) fn read_payload(file: &dyn DiskFile, marker: u64, key: RecordKey) -> io::Result<Option<Vec<u8>>> {
    let mut record = vec![0; RECORD_HEADER_LEN + key.len as usize];
    match file.read_at(&mut record, key.offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let header = RecordHeader::parse(&record, marker);
    let payload = record.split_off(RECORD_HEADER_LEN);
    let is_valid =
        |it: &RecordHeader| it.sequence == key.sequence && it.len == key.len && it.matches(&payload);
    Ok(header.filter(is_valid).map(|_| payload))
}
