//! The connection table's protocol: where a socket's entry is, who may write it, and who reports its end.
//!
//! The table is two arrays. `keys` holds buckets of a few keys, one cache line each; `entries` holds one entry for each key, at the same
//! index. A socket's entry is in one of two buckets, which a hash of its address selects. There is no lock and no allocation.
//!
//! ```text
//!            reserve               publish
//!    free ─────────────► filling ───────────► published
//!     ▲   compare-and-     ▲                    │    │
//!     │   swap             │    own: compare-   │    │ take: compare-and-swap, one winner
//!     ├────────────────────┴─── and-swap, ──────┘    │
//!     │      free               one winner           │
//!     └─ next tag ───────────────────────────────────┘
//! ```
//!
//! - Only the owner of a *filling* key writes the whole entry.
//! - Who takes or owns a published key of a connection that ends reports its end. Everyone else who tries finds the key changed.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Slot {
    /// The key.
    pub key: Key,
    /// Index of the key and of the entry.
    pub index: u32,
    /// Zero.
    pub _pad: u32,
}

/// Fibonacci hashing: 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming, volume 3, 6.4).
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Sockets are aligned to cache lines: the low bits of their addresses carry no information.
const ALIGNMENT_BITS: u32 = 6;

/// The two buckets in which a socket's entry may be.
#[inline(always)]
pub fn candidates(address: u64, buckets: u32) -> [u32; 2] {
    // Twice: sockets of neighbouring slabs differ in few bits.
    let hash = (address >> ALIGNMENT_BITS).wrapping_mul(MULTIPLIER);
    let hash = (hash ^ (hash >> 29)).wrapping_mul(MULTIPLIER);
    // Multiply and shift: the number of buckets need not be a power of two.
    let scale = |part: u64| ((part * buckets as u64) >> 32) as u32;
    [scale(hash >> 32), scale(hash & 0xffff_ffff)]
}

/// Finds a published slot of this address other than the one at `except`, if there is one.
#[inline(always)]
pub fn scan<K: Keys>(keys: K, address: u64, except: u32) -> Option<Slot> {
    // No early exit: the verifier of the BPF programs follows each exit to the end.
    let (mut found, mut index) = (Key::FREE, 0);
    for at in candidates(address, keys.buckets()) {
        let bucket = keys.bucket(at)?;
        let mut way = 0;
        while way < K::WAYS {
            let key = keys.load(bucket, way);
            if key.holds(address) && at * K::WAYS + way != except {
                (found, index) = (key, at * K::WAYS + way);
            }
            way += 1;
        }
    }
    (!found.is_free()).then_some(Slot::new(found, index))
}

/// How well a slot fits what is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is another connection's.
    None,
    /// It is the connection's, from seeding.
    Seeded,
    /// It is the connection's, from its open.
    Opened,
}

/// Finds the slot that fits best. `scan` is [`scan`] for the socket's address, `fit` judges the entry at an index.
///
/// A socket has one slot, and another one for a moment when seeding meets a connection that begins.
#[inline(always)]
pub fn find(scan: impl Fn(u32) -> Option<Slot>, fit: impl Fn(u32) -> Fit) -> Option<Slot> {
    let first = scan(NO_INDEX)?;
    let fits = fit(first.index);
    if matches!(fits, Fit::Opened) {
        return Some(first);
    }
    if let Some(second) = scan(first.index)
        && !matches!(fit(second.index), Fit::None)
    {
        return Some(second);
    }
    matches!(fits, Fit::Seeded).then_some(first)
}

/// No slot has this index.
pub const NO_INDEX: u32 = u32::MAX;

/// Reserves a free slot for a socket, in the emptier of its buckets. The caller owns the slot until it publishes it. Returns `None` if both
/// buckets are full.
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

/// Publishes a reserved slot: from now on the entry is the socket's.
#[inline(always)]
pub fn publish<K: Keys>(keys: K, slot: Slot, address: u64) -> Slot {
    let key = slot.key.published(address);
    set(keys, slot, key);
    Slot::new(key, slot.index)
}

/// Frees a published slot. Returns false if it has changed: then somebody else has freed it.
#[inline(always)]
pub fn take<K: Keys>(keys: K, slot: Slot) -> bool {
    replace(keys, slot, slot.key.freed())
}

/// Makes the caller the owner of a published slot, which nobody finds any more. Returns false if it has changed: then somebody else has
/// freed it.
#[inline(always)]
pub fn own<K: Keys>(keys: K, slot: Slot) -> bool {
    replace(keys, slot, slot.key.filling())
}

/// Frees an owned slot.
#[inline(always)]
pub fn free<K: Keys>(keys: K, slot: Slot) {
    set(keys, slot, slot.key.freed());
}

/// Whether the slot has held the same connection ever since its key was read.
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
        if free.is_free() && keys.replace(bucket, way, free, free.filling()) {
            return Some(Slot::new(free.filling(), at * K::WAYS + way));
        }
        way += 1;
    }
    None
}

impl Slot {
    /// The slot at an index, with its key as it was read.
    #[inline(always)]
    pub const fn new(key: Key, index: u32) -> Self {
        Self { key, index, _pad: 0 }
    }
}
