//! The number of connections that fit into the table.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::cell::RefCell;

use longwave_ebpf_table::{Key, Keys, Slot, publish, remove, reserve, scan};

/// Keys in a vector, in buckets of 8.
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

/// Returns addresses as the kernel's slab allocator does: objects of 2,560 bytes, 12 in a slab of 32 KiB, slabs anywhere in memory.
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

/// *Scenario*: the default table is filled to its limit of 131,072 connections. Then a tenth of them is replaced, a hundred times.
/// *Guarantees*: the table refuses no connection.
#[test]
fn the_configured_connections_fit_under_churn() {
    const CONNECTIONS: usize = 131_072;
    let slot_count = (CONNECTIONS * 7 / 4).next_multiple_of(8);
    let memory = Memory(RefCell::new(vec![0; slot_count]));
    let mut addresses = slab_addresses(0x9e37_79b9);
    let mut used = std::collections::HashSet::new();
    let mut open_slots: Vec<Slot> = Vec::new();
    let mut next = || loop {
        let address = addresses.next().unwrap();
        if used.insert(address) {
            return address;
        }
    };
    let mut open = |open_slots: &mut Vec<Slot>| {
        let address = next();
        let slot =
            reserve(&memory, address).unwrap_or_else(|| panic!("refused with {} open", open_slots.len()));
        open_slots.push(publish(&memory, slot, address));
    };
    while open_slots.len() < CONNECTIONS {
        open(&mut open_slots);
    }
    for round in 0..100_usize {
        for at in 0..CONNECTIONS / 10 {
            let index = (at * 7_919 + round * 104_729) % open_slots.len();
            assert!(remove(&memory, open_slots.swap_remove(index)));
        }
        while open_slots.len() < CONNECTIONS {
            open(&mut open_slots);
        }
    }
}

/// *Scenario*: a table of 64 slots is filled until it refuses all further sockets, and then emptied. This happens three times.
/// *Guarantees*: no slot is used twice, all slots are used before the last refusal, and an emptied table accepts as many sockets again.
#[test]
fn a_full_table_refuses_and_recovers() {
    let memory = Memory(RefCell::new(vec![0; 64]));
    let fill = || {
        let mut open_slots = Vec::new();
        for address in slab_addresses(7).take(10_000) {
            if let Some(slot) = reserve(&memory, address) {
                open_slots.push(publish(&memory, slot, address));
            }
        }
        open_slots
    };
    for _ in 0..3 {
        let open_slots = fill();
        let indices: std::collections::HashSet<u32> = open_slots.iter().map(|slot| slot.index).collect();
        // With thousands of sockets, each bucket is a candidate of many.
        assert_eq!((open_slots.len(), indices.len()), (64, 64));
        assert!(open_slots.into_iter().all(|slot| remove(&memory, slot)));
    }
}

/// *Scenario*: the closes of two sockets at one address were missed, so that their entries are still published when a third socket opens
/// there and closes.
/// *Guarantees*: its connection is found, whichever slots the entries have.
#[test]
fn a_connection_is_found_beside_entries_of_earlier_sockets() {
    let memory = Memory(RefCell::new(vec![0; 64]));
    let address = slab_addresses(7).next().unwrap();
    let slots: Vec<Slot> =
        (0..3).map(|_| publish(&memory, reserve(&memory, address).unwrap(), address)).collect();
    for slot in slots {
        assert_eq!(scan(&memory, address, |index| index == slot.index), Some(slot));
    }
}
