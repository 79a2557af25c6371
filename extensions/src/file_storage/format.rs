//! The format of segment files.
//!
//! A segment is a header of [`SEGMENT_HEADER_LEN`] bytes and then records. Numbers are little-endian.
//!
//! | bytes of the segment's header | content |
//! |---|---|
//! | 0..8 | `LWQUEUE\n` |
//! | 8..12 | version |
//! | 12..16 | CRC-32 of the bytes before. These 16 bytes are the same in every version |
//! | 16..24 | marker: a random number |
//! | 24..28 | CRC-32 of the marker |
//! | 28..32 | zero |
//!
//! | bytes of a record | content |
//! |---|---|
//! | 0..8 | marker of the segment, by which a reader finds the next record behind a damaged one |
//! | 8 | state: `00` pending, `ff` done. Written in place. No checksum contains it, and one wrong bit does not change its meaning |
//! | 9..12 | zero |
//! | 12..16 | length of the payload |
//! | 16..24 | sequence number |
//! | 24..32 | items |
//! | 32..40 | traffic of the items in bytes |
//! | 40..48 | tick of the pipeline |
//! | 48..56 | time of the write |
//! | 56..60 | CRC-32 of the payload |
//! | 60..64 | CRC-32 of the bytes before, without the state |
//! | 64.. | payload: an OTLP request in protobuf, before compression |
//!
//! The name of the file is the sequence number of its first record, in 16 hexadecimal digits. The directory's name is the exporter and the
//! signal.

use longwave_pipeline::component::{NewRecord, RecordKey, StoredRecord};
use longwave_pipeline::model::UnixNanos;

/// Version of the format.
pub(super) const VERSION: u32 = 1;
pub(super) const SEGMENT_HEADER_LEN: usize = 32;
pub(super) const RECORD_HEADER_LEN: usize = 64;
/// Position of the state in a record.
pub(super) const STATE_OFFSET: u64 = 8;
/// State of a record that is done.
pub(super) const DONE: u8 = 0xff;
const PENDING: u8 = 0;
const MAGIC: [u8; 8] = *b"LWQUEUE\n";
const SUFFIX: &str = ".seg";

/// The start of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentHeader {
    Valid {
        marker: u64,
    },
    /// A newer version has written the segment.
    Newer(u32),
    Damaged,
}

/// The header of a record, whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) state: RecordState,
    pub(super) len: u32,
    pub(super) sequence: u64,
    pub(super) items: u64,
    pub(super) traffic_bytes: u64,
    pub(super) tick: UnixNanos,
    pub(super) written: UnixNanos,
    payload_crc: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordState {
    pub(super) is_done: bool,
    /// Whether a bit is wrong.
    pub(super) is_damaged: bool,
}

/// Returns the name of the segment whose first record has this number.
pub(super) fn segment_name(first: u64) -> String {
    format!("{first:016x}{SUFFIX}")
}

/// Returns the number of the first record, or `None` if this is not the name of a segment.
pub(super) fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let first = u64::from_str_radix(digits, 16).ok()?;
    (segment_name(first) == name).then_some(first)
}

/// Returns the header of a new segment.
pub(super) fn segment_header(marker: u64) -> [u8; SEGMENT_HEADER_LEN] {
    let mut header = [0; SEGMENT_HEADER_LEN];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let crc = crc32fast::hash(&header[..12]);
    header[12..16].copy_from_slice(&crc.to_le_bytes());
    header[16..24].copy_from_slice(&marker.to_le_bytes());
    header[24..28].copy_from_slice(&crc32fast::hash(&marker.to_le_bytes()).to_le_bytes());
    header
}

/// Returns a whole record.
pub(super) fn record(marker: u64, sequence: u64, written: UnixNanos, new: &NewRecord) -> Vec<u8> {
    let mut record = Vec::with_capacity(RECORD_HEADER_LEN + new.bytes.len());
    record.extend_from_slice(&marker.to_le_bytes());
    record.extend_from_slice(&[PENDING, 0, 0, 0]);
    // The caller has checked the length.
    record.extend_from_slice(&(new.bytes.len() as u32).to_le_bytes());
    for number in [sequence, new.items, new.traffic_bytes, new.tick.0, written.0] {
        record.extend_from_slice(&number.to_le_bytes());
    }
    record.extend_from_slice(&crc32fast::hash(&new.bytes).to_le_bytes());
    let crc = header_crc(&record);
    record.extend_from_slice(&crc.to_le_bytes());
    record.extend_from_slice(&new.bytes);
    record
}

/// Returns the checksum of the first 60 bytes of a record, without the state.
fn header_crc(record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&record[..8]);
    hasher.update(&record[9..60]);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// Returns the number at the position. The caller has checked that there are 8 bytes.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

// === impl SegmentHeader ===

impl SegmentHeader {
    /// Reads the header from a segment of at least [`SEGMENT_HEADER_LEN`] bytes.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let marker = u64_at(bytes, 16);
        let version = u32_at(bytes, 8);
        let start_is_valid = bytes[..8] == MAGIC && crc32fast::hash(&bytes[..12]) == u32_at(bytes, 12);
        if start_is_valid && version > VERSION {
            return Self::Newer(version);
        }
        let marker_is_valid = crc32fast::hash(&bytes[16..24]) == u32_at(bytes, 24);
        let is_valid = start_is_valid && marker_is_valid && version == VERSION && bytes[28..32] == [0; 4];
        if is_valid { Self::Valid { marker } } else { Self::Damaged }
    }
}

// === impl RecordHeader ===

impl RecordHeader {
    /// Reads the header of a record of a segment with this marker. `None` if there is no such header.
    pub(super) fn parse(bytes: &[u8], marker: u64) -> Option<Self> {
        let bytes = bytes.get(..RECORD_HEADER_LEN)?;
        if u64_at(bytes, 0) != marker || header_crc(bytes) != u32_at(bytes, 60) {
            return None;
        }
        Some(Self {
            state: RecordState::parse(bytes[8]),
            len: u32_at(bytes, 12),
            sequence: u64_at(bytes, 16),
            items: u64_at(bytes, 24),
            traffic_bytes: u64_at(bytes, 32),
            tick: UnixNanos(u64_at(bytes, 40)),
            written: UnixNanos(u64_at(bytes, 48)),
            payload_crc: u32_at(bytes, 56),
        })
    }

    /// Returns whether these are the bytes that were written.
    pub(super) fn matches(&self, payload: &[u8]) -> bool {
        crc32fast::hash(payload) == self.payload_crc
    }

    /// Returns the record at this position of its segment.
    pub(super) fn stored_at(&self, offset: u64) -> StoredRecord {
        let Self { len, sequence, items, traffic_bytes, tick, .. } = *self;
        StoredRecord { key: RecordKey { sequence, offset, len }, items, traffic_bytes, tick }
    }
}

// === impl RecordState ===

impl RecordState {
    pub(super) fn parse(byte: u8) -> Self {
        Self { is_done: byte.count_ones() > 4, is_damaged: byte != PENDING && byte != DONE }
    }
}
