//! Memory of the connection table. `longwave-ebpf-table` has its protocol. The loader replaces the sizes given here.

use aya_ebpf::{macros::map, maps::Array};
use longwave_ebpf_abi::{
    BUCKET_KEYS, TableEntry,
    tally::{CLOSE_TAKEN, Program},
};
pub use longwave_ebpf_table::{Key, Keys, Slot, free, is_unchanged, remove};
use longwave_ebpf_table::{claim, publish, reserve, scan};

use crate::{
    atomic,
    config::setting,
    maps::{CpuMemory, MMAPABLE, Scratch},
    socket::Socket,
    tally::count,
};

/// Keys; each element is a bucket. `MMAPABLE` aligns each bucket to a cache line.
#[map(name = "keys")]
static KEYS: Array<[u64; BUCKET_KEYS as usize]> = Array::with_max_entries(1, MMAPABLE);

/// Entries, at the same index as their keys. `MMAPABLE` aligns each entry to two cache lines.
#[map(name = "entries")]
static ENTRIES: Array<TableEntry> = Array::with_max_entries(BUCKET_KEYS, MMAPABLE);

/// The keys of the connection table.
#[derive(Clone, Copy)]
pub struct Table;

impl Keys for Table {
    type Bucket = *mut u64;

    const WAYS: u32 = BUCKET_KEYS;

    #[inline(always)]
    fn buckets(self) -> u32 {
        setting!(buckets)
    }

    #[inline(always)]
    fn bucket(self, index: u32) -> Option<*mut u64> {
        KEYS.get_ptr_mut(index).map(<*mut _>::cast)
    }

    #[inline(always)]
    fn load(self, bucket: *mut u64, way: u32) -> Key {
        // SAFETY: `bucket` is a bucket of the map.
        Key(unsafe { key(bucket, way).read_volatile() })
    }

    #[inline(always)]
    fn replace(self, bucket: *mut u64, way: u32, expected: Key, new: Key) -> bool {
        // SAFETY: `bucket` is a bucket of the map.
        unsafe { atomic::compare_exchange(key(bucket, way), expected.0, new.0) == expected.0 }
    }

    #[inline(always)]
    fn set(self, bucket: *mut u64, way: u32, new: Key) {
        // SAFETY: `bucket` is a bucket of the map.
        unsafe { atomic::exchange(key(bucket, way), new.0) };
    }
}

/// Returns a pointer to a key.
///
/// # Safety
/// `bucket` points to [`BUCKET_KEYS`] keys.
#[inline(always)]
unsafe fn key(bucket: *mut u64, way: u32) -> *mut u64 {
    // The mask is right here, because the verifier of 6.1 must know the bound where the index is added.
    // SAFETY: the mask keeps the index within the bucket.
    unsafe { bucket.add((way & (BUCKET_KEYS - 1)) as usize) }
}

/// Returns the entry at an index. Another connection may reuse it at any time, unless the caller has claimed its slot.
#[inline(always)]
pub fn entry(index: u32) -> Option<*mut TableEntry> {
    ENTRIES.get_ptr_mut(index)
}

/// The slots of one socket.
#[derive(Clone, Copy)]
pub struct SocketSlots {
    address: u64,
    scratch: *mut Scratch,
    program: Program,
}

impl SocketSlots {
    /// # Safety
    /// `memory` is that of this CPU, and `program` is the calling program.
    #[inline(always)]
    pub unsafe fn new(socket: Socket, memory: *mut CpuMemory, program: Program) -> Self {
        // SAFETY: `memory` and `program` are as the caller guarantees.
        unsafe {
            let scratch = CpuMemory::scratch(memory, program);
            Self { address: socket.address(scratch), scratch, program }
        }
    }

    /// Finds the slot of the connection with this cookie. Prefers an entry that the open wrote to one that seeding wrote.
    #[inline(always)]
    pub fn find_connection(self, cookie: u64) -> Option<Slot> {
        let find = |is_seeded| self.result(scan_connection(self.address, cookie, is_seeded, self.scratch));
        find(0).or_else(|| find(1))
    }

    /// Finds a slot of the socket other than `slot`.
    #[inline(always)]
    pub fn find_other(self, slot: &Slot) -> Option<Slot> {
        self.result(scan_other(self.address, slot.index, self.scratch))
    }

    /// Finds and claims the slot of the connection with this cookie. Returns `None` if there is none or another program claimed it first.
    #[inline(always)]
    pub fn claim_connection(self, cookie: u64) -> Option<Slot> {
        let slot = self.find_connection(cookie)?;
        let is_claimed = claim(Table, slot);
        if !is_claimed {
            count(self.program, CLOSE_TAKEN);
        }
        is_claimed.then_some(slot)
    }

    /// Claims a free slot. Returns `None` if both buckets of the socket are full.
    #[inline(always)]
    pub fn reserve(self) -> Option<Slot> {
        self.result(reserve_slot(self.address, self.scratch))
    }

    /// Publishes a claimed slot.
    #[inline(always)]
    pub fn publish(self, slot: Slot) -> Slot {
        publish(Table, slot, self.address)
    }

    /// Returns the slot that a subprogram stored in the scratch memory; `None` if the subprogram returned 0.
    #[inline(always)]
    fn result(self, found: u32) -> Option<Slot> {
        // SAFETY: this program is the only user of the scratch memory.
        (found != 0).then(|| unsafe { (&raw const (*self.scratch).slot).read_volatile() })
    }
}

/// Finds the slot of a connection and stores it in `scratch`. Returns 1 if there is one, else 0. Only considers entries that seeding wrote if
/// `is_seeded` is 1, else only others.
///
/// This is a subprogram, because each inlined call would add a few hundred instructions.
#[inline(never)]
extern "C" fn scan_connection(address: u64, cookie: u64, is_seeded: u32, scratch: *mut Scratch) -> u32 {
    let matches = |index| {
        let Some(entry) = entry(index) else { return false };
        // SAFETY: `entry` is an entry of the table.
        unsafe {
            (&raw const (*entry).cookie).read_volatile() == cookie
                && u32::from((&raw const (*entry).generation).read_volatile() == 0) == is_seeded
        }
    };
    // SAFETY: `scratch` is that of the calling program.
    unsafe { store(scratch, scan(Table, address, matches)) }
}

/// Finds a slot of a socket other than that at `index` and stores it in `scratch`. Returns 1 if there is one, else 0.
#[inline(never)]
extern "C" fn scan_other(address: u64, index: u32, scratch: *mut Scratch) -> u32 {
    // SAFETY: `scratch` is that of the calling program.
    unsafe { store(scratch, scan(Table, address, |other| other != index)) }
}

/// Claims a free slot for a socket and stores it in `scratch`. Returns 1 if there is one, else 0. A subprogram like `scan_slots`.
#[inline(never)]
extern "C" fn reserve_slot(address: u64, scratch: *mut Scratch) -> u32 {
    // SAFETY: `scratch` is that of the calling program.
    unsafe { store(scratch, reserve(Table, address)) }
}

/// # Safety
/// `scratch` is valid for writes.
#[inline(always)]
unsafe fn store(scratch: *mut Scratch, slot: Option<Slot>) -> u32 {
    let Some(slot) = slot else { return 0 };
    // SAFETY: `scratch` is valid, as the caller guarantees.
    unsafe { (&raw mut (*scratch).slot).write_volatile(slot) };
    1
}
