//! Stores that are incomplete or damaged.

use super::*;
use crate::file_storage::format;
use crate::file_storage::scan::Scan;

const PAYLOADS: [&[u8]; 4] = [b"the first", b"", b"the third one", b"4"];

/// Makes a store of one segment with [`PAYLOADS`], of which the second is done. Returns the disk and the path of the segment.
fn small_store() -> (MemoryDisk, std::path::PathBuf) {
    let disk = MemoryDisk::default();
    let store = TestStore::open(&disk, limits(1 << 20));
    let keys: Vec<_> = PAYLOADS.iter().map(|payload| store.append(payload).unwrap()).collect();
    store.done(keys[1]);
    drop(store);
    let paths = disk.paths();
    assert_eq!(paths.len(), 1);
    (disk, paths[0].clone())
}

/// *Scenario*: a segment ends at any of its bytes, as after a process that was killed while it wrote.
/// *Guarantees*: every record that is complete is there, the incomplete one is not and is cut off, and nothing counts as damage. Records that are
/// written afterwards are found too.
#[test]
fn an_incomplete_end_is_cut_off() {
    let (disk, path) = small_store();
    let whole = disk.bytes(&path);
    let scan = Scan::new(&whole, 1).unwrap();
    let ends: Vec<usize> = scan
        .records
        .iter()
        .map(|record| record.offset as usize + format::RECORD_HEADER_LEN + record.header.len as usize)
        .collect();
    assert_eq!(ends.last(), Some(&whole.len()));
    for len in 0..whole.len() {
        let disk = disk.after_kill();
        disk.edit(&path, |bytes| bytes.truncate(len));
        let store = TestStore::open(&disk, limits(1 << 20));
        let complete = ends.iter().filter(|end| **end <= len).count();
        let mut expected: Vec<&[u8]> = PAYLOADS[..complete].to_vec();
        expected.retain(|payload| !payload.is_empty());
        assert_eq!(store.restored(), expected, "at byte {len}");
        assert_eq!(store.loaded.damage, Default::default(), "at byte {len}");
        store.append(b"later").unwrap();
        drop(store);
        let store = TestStore::open(&disk, limits(1 << 20));
        expected.push(b"later");
        assert_eq!(store.restored(), expected, "at byte {len}");
        assert_eq!(store.loaded.cut_bytes, 0, "at byte {len}: it was not cut off");
    }
}

/// *Scenario*: every single bit of a small store is wrong.
/// *Guarantees*: at most the one record that has the bit is lost, which is reported; a wrong bit elsewhere loses nothing and is reported too. No
/// payload differs from what was written, and the record that is done does not come back.
#[test]
fn a_wrong_bit_loses_one_record_and_is_reported() {
    let (disk, path) = small_store();
    let whole = disk.bytes(&path);
    let expected: Vec<&[u8]> = PAYLOADS.into_iter().filter(|payload| !payload.is_empty()).collect();
    let mut lost_in_all = 0;
    for bit in 0..whole.len() * 8 {
        let disk = disk.after_kill();
        disk.edit(&path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        let store = TestStore::open(&disk, limits(1 << 20));
        let restored = store.restored();
        assert!(restored.iter().all(|payload| expected.contains(&payload.as_slice())), "bit {bit}");
        let lost = expected.len() - restored.len();
        assert!(lost <= 1, "bit {bit}: {lost} records are lost");
        let damaged = store.loaded.records.iter().filter(|record| store.read(record.key).is_err()).count();
        let damage = store.loaded.damage;
        assert_eq!(
            store.store.stats.damaged_records.load(std::sync::atomic::Ordering::Relaxed) > 0,
            damage.lost_records + damaged as u64 > 0
        );
        // A bit of the record that is done, or of the segment's header.
        let is_reported = damage.lost_records > 0 || damage.harmless > 0 || damaged > 0;
        assert!(is_reported, "bit {bit} is not reported");
        assert!(lost as u64 <= damage.lost_records + damaged as u64, "bit {bit}");
        lost_in_all += lost;
    }
    // Three records with 64 bytes of header, of which the state (a byte) is not essential.
    let payload_bytes: usize = expected.iter().map(|payload| payload.len()).sum();
    assert_eq!(lost_in_all, (3 * 63 + payload_bytes) * 8);
}

/// *Scenario*: a payload becomes damaged after the store was opened.
/// *Guarantees*: it is not returned, and counted.
#[test]
fn a_payload_is_verified_when_it_is_read() {
    let disk = MemoryDisk::default();
    let store = TestStore::open(&disk, limits(1 << 20));
    let (first, second) = (store.append(b"first").unwrap(), store.append(b"second").unwrap());
    disk.edit(&disk.paths()[0], |bytes| {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    });
    assert_eq!(store.read(first).unwrap(), b"first");
    let error = store.read(second).unwrap_err();
    insta::assert_snapshot!(error, @"/store: a stored request is damaged: its checksum does not match");
    assert_eq!(error.reason().0, "storage_damaged");
}

/// *Scenario*: a newer version has written a segment; a segment has a name without meaning.
/// *Guarantees*: the store is not opened, and nothing is changed. The message names the file and the remedy. The other file is ignored.
#[test]
fn a_newer_version_is_refused() {
    let (disk, path) = small_store();
    disk.edit(&path, |bytes| {
        bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..12]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    });
    let before = disk.bytes(&path);
    let error = TestStore::try_open(&disk, limits(1 << 20)).err().unwrap();
    insta::assert_snapshot!(error, @"/store/queue-otlp_grpc~2Fbackend.logs/0000000000000001.seg: a newer Longwave has written this file (version 2, this one reads up to 1): start the newer one until the queue is empty, or remove the file, which loses its requests");
    assert_eq!(disk.bytes(&path), before);
    assert_eq!(format::parse_segment_name("1.seg"), None);
    assert_eq!(format::parse_segment_name("0000000000000001.seg"), Some(1));
}

/// *Scenario*: a payload contains a whole record of the same segment, as a payload could if its sender knew the marker.
/// *Guarantees*: while nothing is damaged, it is not taken for a record.
#[test]
fn a_record_in_a_payload_is_not_a_record() {
    let disk = MemoryDisk::default();
    let store = TestStore::open(&disk, limits(1 << 20));
    store.append(b"inner").unwrap();
    let inner = disk.bytes(&disk.paths()[0])[format::SEGMENT_HEADER_LEN..].to_vec();
    store.append(&inner).unwrap();
    store.append(b"last").unwrap();
    drop(store);
    let store = TestStore::open(&disk.after_kill(), limits(1 << 20));
    assert_eq!(store.restored(), [b"inner".to_vec(), inner, b"last".to_vec()]);
}
