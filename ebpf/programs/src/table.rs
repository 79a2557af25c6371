//! The connection table: its memory, for the protocol in `longwave-ebpf-table`. Sizes given here are placeholders.

use aya_ebpf::{macros::map, maps::Array};
use longwave_ebpf_abi::{BUCKET_KEYS, Tracked};
use longwave_ebpf_table::{Key, Keys};
pub use longwave_ebpf_table::{borrow, find, give_back, publish, reserve, take, unchanged, visit};

use crate::{atomic, config::setting, maps::MMAPABLE};

/// Keys, a bucket an element. Mappable, so that each bucket is one cache line.
#[map(name = "keys")]
static KEYS: Array<[u64; BUCKET_KEYS as usize]> = Array::with_max_entries(1, MMAPABLE);

/// Entries, at the index of their keys. Mappable, so that each is two cache lines.
#[map(name = "entries")]
static ENTRIES: Array<Tracked> = Array::with_max_entries(BUCKET_KEYS, MMAPABLE);

/// The keys of the connection table.
#[derive(Clone, Copy)]
pub struct Table;

/// A slot of the connection table.
pub type Slot = longwave_ebpf_table::Slot<*mut u64>;

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
        // SAFETY: a key of the bucket.
        Key(unsafe { key(bucket, way).read_volatile() })
    }

    #[inline(always)]
    fn replace(self, bucket: *mut u64, way: u32, expected: Key, new: Key) -> bool {
        // SAFETY: a key of the bucket.
        unsafe { atomic::compare_exchange(key(bucket, way), expected.0, new.0) == expected.0 }
    }

    #[inline(always)]
    fn set(self, bucket: *mut u64, way: u32, new: Key) {
        // SAFETY: a key of the bucket.
        unsafe { atomic::exchange(key(bucket, way), new.0) };
    }
}

/// # Safety
/// `bucket` holds [`BUCKET_KEYS`] keys.
#[inline(always)]
unsafe fn key(bucket: *mut u64, way: u32) -> *mut u64 {
    // Masked right here, so that the verifier of 6.1 still knows the bound when it is added.
    // SAFETY: by the caller's promise.
    unsafe { bucket.add((way & (BUCKET_KEYS - 1)) as usize) }
}

/// The entry at an index. It may become another connection's at any time, unless the caller owns its slot.
#[inline(always)]
pub fn entry(index: u32) -> Option<*mut Tracked> {
    ENTRIES.get_ptr_mut(index)
}

/// The slot and the entry of the connection with this cookie.
#[inline(always)]
pub fn find_connection(address: u64, cookie: u64) -> Option<(Slot, *mut Tracked)> {
    find(Table, address, |index| {
        let entry = entry(index)?;
        // SAFETY: an entry of the table.
        (unsafe { (&raw const (*entry).cookie).read_volatile() } == cookie).then_some(entry)
    })
}

/// A slot of the same socket address other than `own`.
#[inline(always)]
pub fn find_other(address: u64, own: &Slot) -> Option<Slot> {
    find(Table, address, |index| (!own.is_at(index)).then_some(())).map(|(slot, ())| slot)
}
