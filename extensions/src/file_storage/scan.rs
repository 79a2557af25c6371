//! [`Scan`]: finds the records of a segment, also of one that is incomplete or damaged.
//!
//! A process that is killed can leave an incomplete record at the end of a segment. It never counted as queued and is not an error. Anything
//! else that is not a record is damage. The marker shows where the next record begins.

use super::format::{RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN, SegmentHeader, u64_at};
use super::queue_log::Damage;

/// The content of a segment.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The records that were found, in order.
    pub(super) records: Vec<ScannedRecord>,
    /// Marker of the segment. `None` if it cannot be found, so that there are no records.
    pub(super) marker: Option<u64>,
    pub(super) damage: Damage,
    /// Length of the segment without an incomplete record at its end.
    pub(super) complete_len: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ScannedRecord {
    pub(super) header: RecordHeader,
    pub(super) offset: u64,
    /// Whether the payload is the one that was written.
    pub(super) is_intact: bool,
}

/// A newer version has written the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NewerVersion(pub(super) u32);

// === impl Scan ===

impl Scan {
    /// Finds the records in the bytes of a segment whose first record has the number `first`.
    pub(super) fn new(bytes: &[u8], first: u64) -> Result<Self, NewerVersion> {
        let mut scan = Self::default();
        if bytes.len() < SEGMENT_HEADER_LEN {
            return Ok(scan);
        }
        scan.marker = match SegmentHeader::parse(bytes) {
            SegmentHeader::Newer(version) => return Err(NewerVersion(version)),
            SegmentHeader::Valid { marker } => Some(marker),
            SegmentHeader::Damaged => {
                scan.damage.harmless += 1;
                marker_without_header(bytes)
            }
        };
        scan.complete_len = bytes.len() as u64;
        let Some(marker) = scan.marker else {
            scan.damage.lost_records = u64::from(bytes.len() > SEGMENT_HEADER_LEN);
            return Ok(scan);
        };
        scan.find_records(bytes, marker, first);
        Ok(scan)
    }

    fn find_records(&mut self, bytes: &[u8], marker: u64, first: u64) {
        let (mut at, mut next_sequence) = (SEGMENT_HEADER_LEN, first);
        while at < bytes.len() {
            let rest = &bytes[at..];
            let found = RecordHeader::parse(rest, marker).filter(|header| header.sequence >= next_sequence);
            let Some(header) = found else {
                if rest.len() < RECORD_HEADER_LEN {
                    self.complete_len = at as u64;
                    return;
                }
                let next = next_record(bytes, at + 1, marker, next_sequence);
                // Sequence numbers say how many records are lost, but at most as many as there is room for.
                let (end, missing) = next.unwrap_or((bytes.len(), 1));
                let room = ((end - at) / RECORD_HEADER_LEN) as u64;
                self.damage.lost_records += missing.clamp(1, room.max(1));
                at = end;
                continue;
            };
            let Some(payload) = rest.get(RECORD_HEADER_LEN..RECORD_HEADER_LEN + header.len as usize) else {
                self.complete_len = at as u64;
                return;
            };
            self.damage.harmless += u64::from(header.state.is_damaged);
            let is_intact = header.matches(payload);
            self.records.push(ScannedRecord { header, offset: at as u64, is_intact });
            at += RECORD_HEADER_LEN + payload.len();
            next_sequence = header.sequence.saturating_add(1);
        }
    }

    /// Returns the records that are not done.
    pub(super) fn pending(&self) -> impl Iterator<Item = &ScannedRecord> {
        self.records.iter().filter(|record| !record.header.state.is_done)
    }
}

/// Returns the position of the next record, and the number of records that are missing before it.
fn next_record(bytes: &[u8], from: usize, marker: u64, sequence: u64) -> Option<(usize, u64)> {
    let pattern = marker.to_le_bytes();
    let mut positions = bytes.get(from..)?.windows(pattern.len()).enumerate();
    positions.find_map(|(position, window)| {
        let at = from + position;
        let header = (window == pattern).then(|| RecordHeader::parse(&bytes[at..], marker)).flatten()?;
        Some((at, header.sequence.checked_sub(sequence)?))
    })
}

/// Returns the marker of a segment with a damaged header: that of its first record, or else the one in the header if a later record has it.
fn marker_without_header(bytes: &[u8]) -> Option<u64> {
    let own = u64_at(bytes, 16);
    let first = bytes.get(SEGMENT_HEADER_LEN..SEGMENT_HEADER_LEN + RECORD_HEADER_LEN).map(|it| u64_at(it, 0));
    let is_marker = |marker: &u64| RecordHeader::parse(&bytes[SEGMENT_HEADER_LEN..], *marker).is_some();
    first.filter(is_marker).or_else(|| {
        // The first record may be damaged too.
        next_record(bytes, SEGMENT_HEADER_LEN, own, 0).map(|_| own)
    })
}
