//! Limits of size and age, and disks that are full.

use longwave_pipeline::component::{DropReason, StorageError};

use super::*;

const PAYLOAD: usize = 100_000;
const SEGMENT: u64 = 300_000;

fn payload(number: u8) -> Vec<u8> {
    vec![number; PAYLOAD]
}

/// Returns the first bytes of the payloads that can be read, and the reasons of the others.
fn readable(store: &TestStore, keys: &[RecordKey]) -> (Vec<u8>, Vec<StorageError>) {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for key in keys {
        match store.read(*key) {
            Ok(payload) => found.push(payload[0]),
            Err(error) => missing.push(error),
        }
    }
    (found, missing)
}

/// *Scenario*: a server is down for long, so that much more is written than the store may contain; with its own limit, and on a full disk.
/// *Guarantees*: the files are never larger than the limit. The newest payloads are there, the oldest were removed, in whole segments, and
/// `removed` reports exactly them. Nothing is refused.
#[test]
fn the_oldest_is_removed_if_there_is_no_room() {
    for (limit, capacity) in [(2_000_000, None), (1 << 40, Some(2_000_000))] {
        let disk = MemoryDisk::default();
        disk.set_capacity(capacity);
        let store = TestStore::open(&disk, limits(limit));
        let mut keys = Vec::new();
        for number in 0..200 {
            keys.push(store.append(&payload(number)).unwrap());
            assert!(disk.used() <= 2_000_000);
        }
        let (found, missing) = readable(&store, &keys);
        // An own limit makes segments of 256 KiB, a full disk leaves those of 8 MiB, which contain everything.
        let least = if capacity.is_none() { (2_000_000 - SEGMENT) / PAYLOAD as u64 - 1 } else { 1 };
        assert!(found.len() as u64 >= least, "{}", found.len());
        assert_eq!(found, (200 - found.len() as u8..200).collect::<Vec<_>>());
        assert!(missing.iter().all(|error| *error == StorageError::Removed(DropReason::STORAGE_FULL)));
        let end = keys[200 - found.len()].sequence;
        assert_eq!(store.store.removed(&store.queue), [(end, DropReason::STORAGE_FULL)]);
        let counted = store.store.stats.full_records.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(counted, missing.len() as u64);
        drop(store);
        let store = TestStore::open(&disk.after_kill(), limits(limit));
        let restored: Vec<u8> = store.restored().iter().map(|payload| payload[0]).collect();
        assert_eq!(restored, found);
    }
}

/// *Scenario*: another program fills the disk, and later frees it. A payload is larger than the store.
/// *Guarantees*: when nothing is left to remove, payloads are refused with the reason `storage_full`, and later accepted again. What is refused
/// leaves no trace.
#[test]
fn a_full_disk_refuses_what_does_not_fit() {
    let disk = MemoryDisk::default();
    let store = TestStore::open(&disk, limits(1 << 30));
    let key = store.append(&payload(1)).unwrap();
    disk.set_capacity(Some(50_000));
    let error = store.append(&payload(2)).unwrap_err();
    assert_eq!(error.reason(), DropReason::STORAGE_FULL);
    assert_eq!(store.read(key), Err(StorageError::Removed(DropReason::STORAGE_FULL)));
    assert!(disk.used() <= 32, "{} bytes are left", disk.used());
    disk.set_capacity(None);
    store.append(&payload(3)).unwrap();
    drop(store);
    let store = TestStore::open(&disk.after_kill(), limits(90_000));
    assert_eq!(store.restored().len(), 0);
    insta::assert_snapshot!(store.append(&payload(4)).unwrap_err(), @"a request of 100000 bytes is larger than the whole storage: increase max_size of the extension");
}

/// *Scenario*: two exporters share a store. One has been down for long, and the other one needs room.
/// *Guarantees*: what is oldest in the whole store is removed, also of the other exporter, which finds out.
#[test]
fn queues_share_the_room() {
    let disk = MemoryDisk::default();
    let store = TestStore::open(&disk, limits(1_000_000));
    let old: Vec<_> = (0..4).map(|number| store.append_at(&payload(number), UnixNanos(1)).unwrap()).collect();
    let (other, _) = store.store.open("otlp_http", Signal::Metrics).unwrap();
    for number in 0..9 {
        store.store.append(&other, &record(&payload(number)), UnixNanos(2)).unwrap();
    }
    let (found, missing) = readable(&store, &old);
    assert_eq!((found.len(), missing.len()), (0, 4));
    assert_eq!(store.store.removed(&store.queue), [(old[3].sequence + 1, DropReason::STORAGE_FULL)]);
    assert_eq!(store.store.removed(&other), []);
}

/// *Scenario*: payloads of different ages, and a limit of age.
/// *Guarantees*: segments whose payloads are all too old are removed with their own reason and counted; newer ones stay.
#[test]
fn old_payloads_expire() {
    const HOUR: u64 = 3_600_000_000_000;
    let disk = MemoryDisk::default();
    let age = Some(Duration::from_secs(3600));
    let store = TestStore::open(&disk, StoreLimits { bytes: 1 << 30, age, fsync: true });
    let keys: Vec<_> = (0..8)
        .map(|number| store.append_at(&payload(number), UnixNanos(u64::from(number) * HOUR / 4)).unwrap())
        .collect();
    store.store.expire(UnixNanos(2 * HOUR));
    let (found, missing) = readable(&store, &keys);
    assert_eq!(found, [4, 5, 6, 7]);
    assert!(missing.iter().all(|error| *error == StorageError::Removed(DropReason::STORAGE_EXPIRED)));
    assert_eq!(store.store.removed(&store.queue), [(keys[4].sequence, DropReason::STORAGE_EXPIRED)]);
    assert_eq!(store.store.stats.expired_records.load(std::sync::atomic::Ordering::Relaxed), 4);
    store.store.expire(UnixNanos(20 * HOUR));
    assert_eq!(store.store.size(), Default::default());
    assert_eq!(disk.paths(), Vec::<std::path::PathBuf>::new());
    store.append(b"goes on").unwrap();
}

/// *Scenario*: a store is opened with a smaller limit than before.
/// *Guarantees*: the oldest payloads are removed until it is met.
#[test]
fn a_smaller_limit_takes_effect() {
    let disk = MemoryDisk::default();
    let store = TestStore::open(&disk, limits(4_000_000));
    for number in 0..30 {
        store.append(&payload(number)).unwrap();
    }
    drop(store);
    let store = TestStore::open(&disk, limits(1_000_000));
    assert!(disk.used() <= 1_000_000);
    let restored: Vec<u8> = store.restored().iter().map(|payload| payload[0]).collect();
    assert_eq!(restored.last(), Some(&29));
    assert!(restored.len() >= 6, "{restored:?}");
}
