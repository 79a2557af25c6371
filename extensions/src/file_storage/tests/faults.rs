//! Processes and disks that end in the middle of an operation.

use std::collections::BTreeMap;

use super::*;

/// What a record may be after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It was written, and is not done.
    Pending,
    /// It was done. The mark may be lost, if the power fails before a sync.
    Done,
    /// The crash happened while it was written or marked.
    Uncertain,
}

/// Runs a program of writes, marks, syncs and a rotation of segments that the seed determines, until the disk fails. Returns the fate of each
/// payload, and of those that were synced last.
fn run(disk: &MemoryDisk, seed: u64) -> (BTreeMap<Vec<u8>, Fate>, BTreeMap<Vec<u8>, Fate>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut fates, mut synced) = (BTreeMap::new(), BTreeMap::new());
    let mut pending: Vec<(RecordKey, Vec<u8>)> = Vec::new();
    let Ok(store) = TestStore::try_open(disk, limits(1 << 30)) else { return (fates, synced) };
    let failures = || store.store.stats.failures.load(std::sync::atomic::Ordering::Relaxed);
    for number in 0..25_u32 {
        match random.u8(..10) {
            0..5 => {
                let len = if random.u8(..6) == 0 { 300_000 } else { random.usize(..200) };
                let payload = [number.to_le_bytes().as_slice(), &vec![number as u8; len]].concat();
                match store.append(&payload) {
                    Ok(key) => {
                        fates.insert(payload.clone(), Fate::Pending);
                        pending.push((key, payload));
                    }
                    Err(_) => {
                        fates.insert(payload, Fate::Uncertain);
                        return (fates, synced);
                    }
                }
            }
            5..8 if !pending.is_empty() => {
                let (key, payload) = pending.swap_remove(random.usize(..pending.len()));
                store.done(key);
                let is_marked = failures() == 0;
                fates.insert(payload, if is_marked { Fate::Done } else { Fate::Uncertain });
                if !is_marked {
                    return (fates, synced);
                }
            }
            _ => {
                store.sync();
                if failures() > 0 {
                    return (fates, synced);
                }
                synced = fates.clone();
            }
        }
    }
    (fates, synced)
}

/// Number of random programs. `LONGWAVE_CRASH_PROGRAMS` sets it.
fn programs() -> u64 {
    std::env::var("LONGWAVE_CRASH_PROGRAMS").ok().and_then(|count| count.parse().ok()).unwrap_or(12)
}

/// *Scenario*: random programs, each killed after each of its changes to the disk, of which the last one is done in part.
/// *Guarantees*: the next process finds every record that was written and not done, and none that was done; only the one that was being written or
/// marked may or may not be there. All are what was written, and nothing counts as damage.
#[test]
fn a_killed_process_loses_nothing() {
    for seed in 0..programs() {
        let whole = MemoryDisk::default();
        run(&whole, seed);
        for changes in 0..whole.changes() {
            for share in [0.0, 0.3, 0.999] {
                let disk = MemoryDisk::default();
                disk.crash_after(changes, share);
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&disk, seed)));
                // Even the directory of the store may be missing.
                let (fates, _) = ended.unwrap_or_default();
                let store = TestStore::open(&disk.after_kill(), limits(1 << 30));
                check(&store, &fates, &format!("program {seed}, killed after {changes} changes, {share}"));
                assert_eq!(store.loaded.damage, Default::default());
            }
        }
    }
}

fn check(store: &TestStore, fates: &BTreeMap<Vec<u8>, Fate>, what: &str) {
    let restored = store.restored();
    assert_eq!(restored.len(), store.loaded.records.len(), "{what}: not all can be read");
    store.loaded.records.iter().for_each(assert_counts);
    for payload in &restored {
        let fate = fates.get(payload);
        assert!(matches!(fate, Some(Fate::Pending | Fate::Uncertain)), "{what}: {fate:?} came back");
    }
    for (payload, fate) in fates {
        let is_there = restored.contains(payload);
        assert!(*fate != Fate::Pending || is_there, "{what}: a pending record is lost");
    }
}

/// *Scenario*: the same programs, and the power fails after each change: everything that was not synced is gone.
/// *Guarantees*: every record that was synced and never done is there. Nothing comes back that was done when it was synced. All records that are
/// there are what was written.
#[test]
fn a_power_failure_loses_what_was_not_synced() {
    for seed in 0..programs() {
        let whole = MemoryDisk::default();
        run(&whole, seed);
        for changes in 1..whole.changes() {
            let disk = MemoryDisk::default();
            disk.crash_after(changes, 0.5);
            let (fates, synced) = run(&disk, seed);
            let store = TestStore::open(&disk.after_power_failure(), limits(1 << 30));
            let what = format!("program {seed}, power failure after {changes} changes");
            let restored = store.restored();
            assert_eq!(restored.len(), store.loaded.records.len(), "{what}");
            for payload in &restored {
                assert!(fates.contains_key(payload), "{what}: never written");
                assert_ne!(synced.get(payload), Some(&Fate::Done), "{what}: a synced mark is lost");
            }
            for (payload, fate) in &synced {
                let was_pending = *fate == Fate::Pending && fates[payload] == Fate::Pending;
                assert!(!was_pending || restored.contains(payload), "{what}: a synced record is lost");
            }
            assert_eq!(store.loaded.damage, Default::default());
        }
    }
}

/// *Scenario*: a disk breaks for a while: every change fails, and later ones succeed again.
/// *Guarantees*: records are refused with a reason meanwhile and accepted afterwards. What is done meanwhile does not come back, although its mark
/// was lost, because its segment is removed later.
#[test]
fn a_broken_disk_recovers() {
    let disk = MemoryDisk::default();
    let store = TestStore::open(&disk, limits(1 << 30));
    let first = store.append(b"first").unwrap();
    disk.set_broken(Some(rustix::io::Errno::IO));
    assert_eq!(store.append(b"refused").unwrap_err().reason().0, "storage_failed");
    store.done(first);
    store.sync();
    assert_eq!(store.store.size().records, 0);
    disk.set_broken(None);
    let second = store.append(b"second").unwrap();
    store.done(second);
    drop(store);
    let store = TestStore::open(&disk.after_kill(), limits(1 << 30));
    assert_eq!(store.restored(), Vec::<Vec<u8>>::new());
}
