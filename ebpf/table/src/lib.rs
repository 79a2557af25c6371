//! The protocol of the connection table: which slots a socket may use, which program may write an entry, and which one reports that a
//! connection closed.
//!
//! The table consists of two arrays. `keys` contains buckets of a few keys, one cache line each. `entries` contains one entry for each
//! key, at the same index. A hash of the socket's address selects two buckets for its entry. There is no lock and no allocation.
//!
//! ```text
//!            reserve               publish
//!    free ─────────────► claimed ───────────► published
//!     ▲   compare-and-      ▲                   │    │
//!     │   swap              │    claim:         │    │ remove:
//!     │                     └─ compare-and-swap ┘    │ compare-and-swap
//!     │      free              │                     │
//!     └─ with the next tag ────┴─────────────────────┘
//! ```
//!
//! - Only the program that claimed a slot writes the whole entry.
//! - The program that claims or removes the slot of a closed connection reports the close. The compare-and-swap of any other program fails.
//! - The tag of a key changes each time the slot is freed. If two reads return the same key, the entry belonged to one connection between
//!   them.
//!
//! The code is generic over the memory of the keys, so that the BPF programs and the model test run the same protocol.
#![no_std]

mod key;

pub use key::Key;

/// Memory of the keys.
pub trait Keys: Copy {
    /// Handle of one bucket.
    type Bucket: Copy;

    /// Keys in a bucket.
    const WAYS: u32;

    /// Returns the number of buckets.
    fn buckets(self) -> u32;

    /// Returns the bucket at `index`, which is below [`Self::buckets`].
    fn bucket(self, index: u32) -> Option<Self::Bucket>;

    /// Reads the key at position `way` of a bucket.
    fn load(self, bucket: Self::Bucket, way: u32) -> Key;

    /// Replaces `expected` by `new`, with a full barrier. Changes nothing and returns false if the key is not `expected`.
    fn replace(self, bucket: Self::Bucket, way: u32, expected: Key, new: Key) -> bool;

    /// Sets the key of a slot that the caller has claimed, with a full barrier.
    fn set(self, bucket: Self::Bucket, way: u32, new: Key);
}

/// Slot of the table, with its key at the time of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Slot {
    /// Key of the slot when it was read.
    pub key: Key,
    /// Index of both the key and the entry.
    pub index: u32,
    /// Padding, zero.
    pub _pad: u32,
}

/// Multiplier of Fibonacci hashing: 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming, volume 3, 6.4).
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Low bits of an address that carry no information, because sockets are aligned to cache lines.
const ALIGNMENT_BITS: u32 = 6;

/// Returns the indices of the two buckets that may contain the entry of a socket.
#[inline(always)]
pub fn candidates(address: u64, buckets: u32) -> [u32; 2] {
    // Multiplies twice, because sockets of neighbouring slabs differ in few bits.
    let hash = (address >> ALIGNMENT_BITS).wrapping_mul(MULTIPLIER);
    let hash = (hash ^ (hash >> 29)).wrapping_mul(MULTIPLIER);
    // Multiplies and shifts, so that the number of buckets need not be a power of two.
    let scale = |part: u64| ((part * buckets as u64) >> 32) as u32;
    [scale(hash >> 32), scale(hash & 0xffff_ffff)]
}

/// Finds a slot that is published for the socket at `address` and whose index `matches`.
///
/// The address may have more than one slot: seeding may visit a socket while it opens, and the entry of an earlier socket whose close was
/// missed stays until a pass removes it.
#[inline(always)]
pub fn scan<K: Keys>(keys: K, address: u64, matches: impl Fn(u32) -> bool) -> Option<Slot> {
    // There is no early exit, because the verifier of the BPF programs follows each exit to the end of the program.
    let (mut found, mut index) = (Key::FREE, 0);
    for at in candidates(address, keys.buckets()) {
        let bucket = keys.bucket(at)?;
        let mut way = 0;
        while way < K::WAYS {
            let key = keys.load(bucket, way);
            if key.is_published_for(address) && matches(at * K::WAYS + way) {
                (found, index) = (key, at * K::WAYS + way);
            }
            way += 1;
        }
    }
    (!found.is_free()).then_some(Slot::new(found, index))
}

/// Claims a free slot for a socket, in the bucket with fewer published slots. Returns `None` if both buckets are full.
#[inline(always)]
pub fn reserve<K: Keys>(keys: K, address: u64) -> Option<Slot> {
    let [mut first, mut second] = candidates(address, keys.buckets());
    if count_published(keys, keys.bucket(second)?) < count_published(keys, keys.bucket(first)?) {
        (first, second) = (second, first);
    }
    match reserve_in(keys, first) {
        Some(slot) => Some(slot),
        None => reserve_in(keys, second),
    }
}

/// Publishes a claimed slot for the socket at `address`, so that look-ups find it.
#[inline(always)]
pub fn publish<K: Keys>(keys: K, slot: Slot, address: u64) -> Slot {
    let key = slot.key.published(address);
    set(keys, slot, key);
    Slot::new(key, slot.index)
}

/// Frees a published slot. Returns false if its key has changed, because another program has claimed or removed it.
#[inline(always)]
pub fn remove<K: Keys>(keys: K, slot: Slot) -> bool {
    replace(keys, slot, slot.key.freed())
}

/// Claims a published slot, so that look-ups no longer find it. Returns false if its key has changed, because another program has claimed
/// or removed it.
#[inline(always)]
pub fn claim<K: Keys>(keys: K, slot: Slot) -> bool {
    replace(keys, slot, slot.key.claimed())
}

/// Frees a claimed slot.
#[inline(always)]
pub fn free<K: Keys>(keys: K, slot: Slot) {
    set(keys, slot, slot.key.freed());
}

/// Returns whether the slot has belonged to one connection ever since its key was read.
#[inline(always)]
pub fn is_unchanged<K: Keys>(keys: K, slot: Slot) -> bool {
    keys.bucket(slot.index / K::WAYS)
        .is_some_and(|bucket| keys.load(bucket, slot.index % K::WAYS) == slot.key)
}

#[inline(always)]
fn replace<K: Keys>(keys: K, slot: Slot, new: Key) -> bool {
    keys.bucket(slot.index / K::WAYS)
        .is_some_and(|bucket| keys.replace(bucket, slot.index % K::WAYS, slot.key, new))
}

#[inline(always)]
fn set<K: Keys>(keys: K, slot: Slot, new: Key) {
    if let Some(bucket) = keys.bucket(slot.index / K::WAYS) {
        keys.set(bucket, slot.index % K::WAYS, new);
    }
}

#[inline(always)]
fn count_published<K: Keys>(keys: K, bucket: K::Bucket) -> u64 {
    let (mut published, mut way) = (0, 0);
    while way < K::WAYS {
        published += keys.load(bucket, way).published_bit();
        way += 1;
    }
    published
}

#[inline(always)]
fn reserve_in<K: Keys>(keys: K, at: u32) -> Option<Slot> {
    let bucket = keys.bucket(at)?;
    let mut way = 0;
    while way < K::WAYS {
        let free = keys.load(bucket, way);
        if free.is_free() && keys.replace(bucket, way, free, free.claimed()) {
            return Some(Slot::new(free.claimed(), at * K::WAYS + way));
        }
        way += 1;
    }
    None
}

impl Slot {
    /// Returns the slot at `index` with the key that was read there.
    #[inline(always)]
    pub const fn new(key: Key, index: u32) -> Self {
        Self { key, index, _pad: 0 }
    }
}
