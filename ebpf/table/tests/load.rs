//! How full the table gets before it refuses a connection.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::cell::RefCell;

use longwave_ebpf_table::{Key, Keys, Slot, publish, reserve, take};

/// Keys in plain memory, in buckets of 8.
struct Memory(RefCell<Vec<u64>>);

impl Keys for &Memory {
    type Bucket = usize;

    const WAYS: u32 = 8;

    fn buckets(self) -> u32 {
        self.0.borrow().len() as u32 / Self::WAYS
    }

    fn bucket(self, index: u32) -> Option<usize> {
        Some((index * Self::WAYS) as usize)
    }

    fn load(self, bucket: usize, way: u32) -> Key {
        Key(self.0.borrow()[bucket + way as usize])
    }

    fn replace(self, bucket: usize, way: u32, expected: Key, new: Key) -> bool {
        let same = self.load(bucket, way) == expected;
        if same {
            self.set(bucket, way, new);
        }
        same
    }

    fn set(self, bucket: usize, way: u32, new: Key) {
        self.0.borrow_mut()[bucket + way as usize] = new.0;
    }
}

/// Addresses as the kernel's slab allocator gives them: objects of 2,560 bytes, 12 in a slab of 32 KiB, slabs anywhere in memory.
fn slab_addresses(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    let mut random = move || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    std::iter::repeat_with(move || 0xffff_8880_0000_0000 + ((random() % (64 << 30)) & !0x7fff))
        .flat_map(|slab| (0..12).map(move |object| slab + object * 2_560))
}

/// *Scenario*: the default table, of 131,072 connections, is filled to its limit; then a tenth is replaced by others, a hundred times.
/// *Guarantees*: no connection is refused at the limit, nor under churn.
#[test]
fn the_configured_connections_fit_under_churn() {
    const CONNECTIONS: usize = 131_072;
    let slots = (CONNECTIONS * 7 / 4).next_multiple_of(8);
    let memory = Memory(RefCell::new(vec![0; slots]));
    let mut addresses = slab_addresses(0x9e37_79b9);
    let mut used = std::collections::HashSet::new();
    let mut held: Vec<Slot> = Vec::new();
    let mut next = || loop {
        let address = addresses.next().unwrap();
        if used.insert(address) {
            return address;
        }
    };
    let mut open = |held: &mut Vec<Slot>| {
        let address = next();
        let slot = reserve(&memory, address).unwrap_or_else(|| panic!("refused with {} open", held.len()));
        held.push(publish(&memory, slot, address));
    };
    while held.len() < CONNECTIONS {
        open(&mut held);
    }
    for round in 0..100_usize {
        for at in 0..CONNECTIONS / 10 {
            let index = (at * 7_919 + round * 104_729) % held.len();
            assert!(take(&memory, held.swap_remove(index)));
        }
        while held.len() < CONNECTIONS {
            open(&mut held);
        }
    }
}

/// *Scenario*: a table of 64 slots is filled until it refuses, and emptied.
/// *Guarantees*: every slot that was given is another one, a refusal comes only when both buckets are full, and an emptied table takes as many
/// again.
#[test]
fn a_full_table_refuses_and_recovers() {
    let memory = Memory(RefCell::new(vec![0; 64]));
    let fill = || {
        let mut held = Vec::new();
        for address in slab_addresses(7).take(10_000) {
            if let Some(slot) = reserve(&memory, address) {
                held.push(publish(&memory, slot, address));
            }
        }
        held
    };
    for _ in 0..3 {
        let held = fill();
        let indices: std::collections::HashSet<u32> = held.iter().map(|slot| slot.index).collect();
        // With thousands of attempts each slot is some socket's candidate.
        assert_eq!((held.len(), indices.len()), (64, 64));
        assert!(held.into_iter().all(|slot| take(&memory, slot)));
    }
}
