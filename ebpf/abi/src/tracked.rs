//! An entry of the connection table.

use crate::{Owner, Tuple};

/// What the kernel side remembers of an open connection. Two cache lines: what a sampling pass reads of an idle one is in the first.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// Socket cookie.
    pub cookie: u64,
    /// Last sampled `rcv_nxt`, `snd_nxt`, `snd_una`, `delivered`.
    pub moved: [u32; 4],
    /// What samples change together with one compare-and-swap ([`Control`]).
    pub control: u64,
    /// Monotonic nanoseconds of the open; 0: not seen.
    pub generation: u64,
    /// Monotonic nanoseconds at which ESTABLISHED was reached; 0: not seen.
    pub established_ns: u64,
    /// Endpoints; the local port may still be 0 in SYN_SENT.
    pub tuple: Tuple,
    /// Owner.
    pub owner: Owner,
}

const _: () = assert!(size_of::<Tracked>() == 128, "two cache lines");

/// The parts of [`Tracked::control`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Lifetime minimum of the round trip, microseconds; `u32::MAX`: none yet.
    pub rtt_min_us: u32,
    /// Bits of [`crate::flag`].
    pub flags: u16,
    /// Passes since the last emitted sample.
    pub idle_passes: u8,
    /// Samples emitted so far, wraps.
    pub samples: u8,
}

impl Control {
    /// Index of the byte of [`Tracked::control`] that holds `idle_passes`, in little-endian order.
    pub const IDLE_PASSES_BYTE: usize = 6;

    /// No sample yet.
    pub const fn new(flags: u16) -> Self {
        Self { rtt_min_us: u32::MAX, flags, idle_passes: 0, samples: 0 }
    }

    /// As one word.
    #[inline(always)]
    pub const fn pack(self) -> u64 {
        self.rtt_min_us as u64
            | (self.flags as u64) << 32
            | (self.idle_passes as u64) << 48
            | (self.samples as u64) << 56
    }

    /// From one word.
    #[inline(always)]
    pub const fn unpack(word: u64) -> Self {
        Self {
            rtt_min_us: word as u32,
            flags: (word >> 32) as u16,
            idle_passes: (word >> 48) as u8,
            samples: (word >> 56) as u8,
        }
    }
}
