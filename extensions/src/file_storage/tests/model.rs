//! A store compared with a queue in memory.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    /// Marks the pending record at this position as done.
    Done(usize),
    Reopen,
    Sync,
    /// Wrongly marks a record twice.
    DoneAgain,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0..200_000_usize).prop_map(Step::Append),
        4 => (0..8_usize).prop_map(Step::Done),
        1 => Just(Step::Reopen),
        1 => Just(Step::Sync),
        1 => Just(Step::DoneAgain),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// *Scenario*: any sequence of writes, marks, syncs and restarts.
    /// *Guarantees*: the store always has the records that the model has, in the same order. A power failure after a sync returns exactly these
    /// records.
    #[test]
    fn the_store_is_a_queue(steps in steps()) {
        let mut disk = MemoryDisk::default();
        let mut store = TestStore::open(&disk, limits(1 << 30));
        let mut model: VecDeque<(RecordKey, Vec<u8>)> = VecDeque::new();
        let (mut next, mut last_done) = (0_u32, None);
        for step in steps {
            match step {
                Step::Append(len) => {
                    next += 1;
                    let mut payload = vec![next as u8; len];
                    payload.extend_from_slice(&next.to_le_bytes());
                    let key = store.append(&payload).unwrap();
                    model.push_back((key, payload));
                }
                Step::Done(position) => {
                    if let Some((key, _)) = model.remove(position) {
                        store.done(key);
                        last_done = Some(key);
                    }
                }
                Step::DoneAgain => last_done.into_iter().for_each(|key| store.done(key)),
                Step::Reopen => {
                    // A key is valid in the process that got it. An empty store numbers its records from 1 again.
                    last_done = None;
                    drop(store);
                    disk = disk.after_kill();
                    store = TestStore::open(&disk, limits(1 << 30));
                    let expected: Vec<_> = model.iter().map(|(_, payload)| payload.clone()).collect();
                    prop_assert_eq!(store.restored(), expected);
                    let keys: Vec<_> = store.loaded.records.iter().map(|record| record.key).collect();
                    prop_assert_eq!(keys, model.iter().map(|(key, _)| *key).collect::<Vec<_>>());
                    store.loaded.records.iter().for_each(assert_counts);
                }
                Step::Sync => {
                    store.sync();
                    let lost_power = TestStore::open(&disk.after_power_failure(), limits(1 << 30));
                    let expected: Vec<_> = model.iter().map(|(_, payload)| payload.clone()).collect();
                    prop_assert_eq!(lost_power.restored(), expected);
                }
            }
            for (key, payload) in &model {
                prop_assert_eq!(&store.read(*key).unwrap(), payload);
            }
            prop_assert_eq!(store.store.size().records, model.len() as u64);
        }
    }
}
