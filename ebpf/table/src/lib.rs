//! The connection table's protocol: where a socket's entry is, who may write it, and who reports its end.
//!
//! The table is two arrays. `keys` holds buckets of a few keys, one cache line each; `entries` holds one entry for each key, at the same
//! index. A socket's entry is in one of two buckets, which a hash of its address selects. There is no lock and no allocation.
//!
//! ```text
//!           reserve               publish                  take
//!   free ─────────────► filling ───────────► published ───────────► free, next tag
//!         compare-and-    ▲ one writer          │      compare-and-
//!         swap            └─────────────────────┘      swap: one winner reports the end
//!                            borrow, give back
//! ```
//!
//! - Only the owner of a *filling* key writes the whole entry.
//! - Whoever takes a published key reports the connection's end. Everyone else who tries finds the key changed.
//! - A key carries a tag that changes each time the slot is freed. A reader that sees the same key twice knows that the entry between the
//!   two reads was one connection's.
//!
//! The code is generic over the memory of the keys, so that the BPF programs and the model test run the same protocol.
#![no_std]

mod key;

pub use key::Key;

/// The memory that holds the keys.
pub trait Keys: Copy {
    /// A way to the keys of one bucket.
    type Bucket: Copy;

    /// Keys in a bucket.
    const WAYS: u32;

    /// Buckets in the table.
    fn buckets(self) -> u32;

    /// The bucket at an index below [`Self::buckets`].
    fn bucket(self, index: u32) -> Option<Self::Bucket>;

    /// Reads a key.
    fn load(self, bucket: Self::Bucket, way: u32) -> Key;

    /// Replaces `expected` by `new`, with a full barrier. Returns false, and changes nothing, if the key is not `expected`.
    fn replace(self, bucket: Self::Bucket, way: u32, expected: Key, new: Key) -> bool;

    /// Sets a key that the caller owns, with a full barrier.
    fn set(self, bucket: Self::Bucket, way: u32, new: Key);
}

/// A slot of the table, with its key as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Slot<B> {
    bucket: B,
    way: u32,
    /// Index of the entry.
    pub index: u32,
    key: Key,
}

/// Fibonacci hashing: 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming, volume 3, 6.4).
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Sockets are aligned to cache lines: the low bits of their addresses carry no information.
const ALIGNMENT_BITS: u32 = 6;

/// The two buckets in which a socket's entry may be.
#[inline(always)]
pub fn candidates(address: u64, buckets: u32) -> [u32; 2] {
    let hash = (address >> ALIGNMENT_BITS).wrapping_mul(MULTIPLIER);
    // Multiply and shift: the number of buckets need not be a power of two.
    let scale = |part: u64| (part * buckets as u64 >> 32) as u32;
    [scale(hash >> 32), scale(hash & 0xffff_ffff)]
}

/// Finds a published slot of this address for which `select` returns something. `select` gets the index of the entry.
#[inline(always)]
pub fn find<K: Keys, R>(
    keys: K,
    address: u64,
    select: impl Fn(u32) -> Option<R>,
) -> Option<(Slot<K::Bucket>, R)> {
    for at in candidates(address, keys.buckets()) {
        let bucket = keys.bucket(at)?;
        let mut way = 0;
        while way < K::WAYS {
            let key = keys.load(bucket, way);
            let index = at * K::WAYS + way;
            if key.holds(address)
                && let Some(selected) = select(index)
            {
                return Some((Slot { bucket, way, index, key }, selected));
            }
            way += 1;
        }
    }
    None
}

/// The published slot at an index, and the address of its socket.
#[inline(always)]
pub fn visit<K: Keys>(keys: K, index: u32) -> Option<(Slot<K::Bucket>, u64)> {
    let (at, way) = (index / K::WAYS, index % K::WAYS);
    let bucket = keys.bucket(at)?;
    let key = keys.load(bucket, way);
    key.address().map(|address| (Slot { bucket, way, index, key }, address))
}

/// Reserves a free slot for a socket: in the emptier of its buckets, of which the second is looked at only if the first is half full.
/// The caller owns the slot until it publishes or cancels it. Returns `None` if both buckets are full.
#[inline(always)]
pub fn reserve<K: Keys>(keys: K, address: u64) -> Option<Slot<K::Bucket>> {
    let [mut first, mut second] = candidates(address, keys.buckets());
    let free = count_free(keys, keys.bucket(first)?);
    if free * 2 < K::WAYS && count_free(keys, keys.bucket(second)?) > free {
        (first, second) = (second, first);
    }
    match reserve_in(keys, first) {
        Some(slot) => Some(slot),
        None => reserve_in(keys, second),
    }
}

/// Publishes a reserved slot: from now on the entry is the socket's.
#[inline(always)]
pub fn publish<K: Keys>(keys: K, slot: Slot<K::Bucket>, address: u64) -> Slot<K::Bucket> {
    let key = slot.key.published(address);
    keys.set(slot.bucket, slot.way, key);
    Slot { key, ..slot }
}

/// Frees a published slot. Returns true for one caller only: the one that reports the connection's end.
#[inline(always)]
pub fn take<K: Keys>(keys: K, slot: Slot<K::Bucket>) -> bool {
    keys.replace(slot.bucket, slot.way, slot.key, slot.key.freed())
}

/// Makes the caller the owner of a published slot until [`give_back`]; meanwhile nobody finds it. Returns false if it has changed.
#[inline(always)]
pub fn borrow<K: Keys>(keys: K, slot: Slot<K::Bucket>) -> bool {
    keys.replace(slot.bucket, slot.way, slot.key, slot.key.filling())
}

/// Ends [`borrow`].
#[inline(always)]
pub fn give_back<K: Keys>(keys: K, slot: Slot<K::Bucket>) {
    keys.set(slot.bucket, slot.way, slot.key);
}

/// Whether the slot has held the same connection ever since its key was read.
#[inline(always)]
pub fn unchanged<K: Keys>(keys: K, slot: Slot<K::Bucket>) -> bool {
    keys.load(slot.bucket, slot.way) == slot.key
}

#[inline(always)]
fn count_free<K: Keys>(keys: K, bucket: K::Bucket) -> u32 {
    let (mut free, mut way) = (0, 0);
    while way < K::WAYS {
        free += keys.load(bucket, way).is_free() as u32;
        way += 1;
    }
    free
}

#[inline(always)]
fn reserve_in<K: Keys>(keys: K, at: u32) -> Option<Slot<K::Bucket>> {
    let bucket = keys.bucket(at)?;
    let mut way = 0;
    while way < K::WAYS {
        let free = keys.load(bucket, way);
        if free.is_free() && keys.replace(bucket, way, free, free.filling()) {
            return Some(Slot { bucket, way, index: at * K::WAYS + way, key: free.filling() });
        }
        way += 1;
    }
    None
}

impl<B> Slot<B> {
    /// Whether both are the same place in the table.
    #[inline(always)]
    pub fn is_at(&self, index: u32) -> bool {
        self.index == index
    }
}
