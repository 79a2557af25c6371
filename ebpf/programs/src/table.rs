//! The connection table: its memory, for the protocol in `longwave-ebpf-table`. Sizes given here are placeholders.

use aya_ebpf::{macros::map, maps::Array};
use longwave_ebpf_abi::{
    BUCKET_KEYS, Tracked,
    tally::{CLOSE_TAKEN, Program},
};
use longwave_ebpf_table::{Fit, find, own, publish, reserve, scan};
pub use longwave_ebpf_table::{Key, Keys, Slot, free, is_unchanged, take};

use crate::{
    atomic,
    config::setting,
    maps::{Local, MMAPABLE, Room},
    socket::Socket,
    tally::count,
};

/// Keys, a bucket an element. Mappable, so that each bucket is one cache line.
#[map(name = "keys")]
static KEYS: Array<[u64; BUCKET_KEYS as usize]> = Array::with_max_entries(1, MMAPABLE);

/// Entries, at the index of their keys. Mappable, so that each is two cache lines.
#[map(name = "entries")]
static ENTRIES: Array<Tracked> = Array::with_max_entries(BUCKET_KEYS, MMAPABLE);

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

/// A socket, and where subprograms put what they find of it.
#[derive(Clone, Copy)]
pub struct Place {
    address: u64,
    room: *mut Room,
    program: Program,
}

impl Place {
    /// # Safety
    /// `local` is this CPU's, and this is `program`.
    #[inline(always)]
    pub unsafe fn of(socket: Socket, local: *mut Local, program: Program) -> Self {
        // SAFETY: by the caller's promise.
        unsafe {
            let room = Local::room(local, program);
            Self { address: socket.address(room), room, program }
        }
    }

    /// The slot of the connection with this cookie.
    #[inline(always)]
    pub fn find_connection(self, cookie: u64) -> Option<Slot> {
        let fit = |index| {
            let Some(entry) = entry(index) else { return Fit::None };
            // SAFETY: an entry of the table.
            unsafe {
                if (&raw const (*entry).cookie).read_volatile() != cookie {
                    Fit::None
                } else if (&raw const (*entry).generation).read_volatile() == 0 {
                    Fit::Seeded
                } else {
                    Fit::Opened
                }
            }
        };
        find(|except| self.scan(except), fit)
    }

    /// A slot of the same socket address other than `own`.
    #[inline(always)]
    pub fn find_other(self, own: &Slot) -> Option<Slot> {
        self.scan(own.index)
    }

    #[inline(always)]
    fn scan(self, except: u32) -> Option<Slot> {
        self.result(scan_slots(self.address, except, self.room))
    }

    /// The slot of the connection with this cookie, owned by the caller.
    #[inline(always)]
    pub fn own_connection(self, cookie: u64) -> Option<Slot> {
        let slot = self.find_connection(cookie)?;
        let is_owned = own(Table, slot);
        if !is_owned {
            count(self.program, CLOSE_TAKEN);
        }
        is_owned.then_some(slot)
    }

    /// A free slot, owned by the caller.
    #[inline(always)]
    pub fn reserve(self) -> Option<Slot> {
        self.result(reserve_slot(self.address, self.room))
    }

    /// Publishes a reserved slot.
    #[inline(always)]
    pub fn publish(self, slot: Slot) -> Slot {
        publish(Table, slot, self.address)
    }

    #[inline(always)]
    fn result(self, found: u32) -> Option<Slot> {
        // SAFETY: the room is this program's, and the subprogram has filled it.
        (found != 0).then(|| unsafe { (&raw const (*self.room).slot).read_volatile() })
    }
}

/// A subprogram: in place, each of its uses would be a few hundred instructions. Returns 1 if it found a slot.
#[inline(never)]
extern "C" fn scan_slots(address: u64, except: u32, room: *mut Room) -> u32 {
    // SAFETY: the caller's room.
    unsafe { put(room, scan(Table, address, except)) }
}

/// Likewise, for a slot that was free.
#[inline(never)]
extern "C" fn reserve_slot(address: u64, room: *mut Room) -> u32 {
    // SAFETY: the caller's room.
    unsafe { put(room, reserve(Table, address)) }
}

/// # Safety
/// `room` is valid for writes.
#[inline(always)]
unsafe fn put(room: *mut Room, slot: Option<Slot>) -> u32 {
    let Some(slot) = slot else { return 0 };
    // SAFETY: by the caller's promise.
    unsafe { (&raw mut (*room).slot).write_volatile(slot) };
    1
}
