//! The value type of the connection table.

use crate::{Owner, Tuple};

/// Entry of an open connection. A sampling pass needs only the first of its two cache lines if the connection is idle.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableEntry {
    /// Socket cookie.
    pub cookie: u64,
    /// `rcv_nxt`, `snd_nxt`, `snd_una` and `delivered` of the last emitted sample.
    pub progress: [u32; 4],
    /// A packed [`ControlWord`].
    pub control: u64,
    /// Monotonic time of the open in ns. 0 if it was not observed.
    pub generation: u64,
    /// Time in ns from the first SYN to ESTABLISHED, of an active open. 0 if unknown.
    pub connect_ns: u64,
    /// Addresses and ports. The local port may still be 0 in SYN_SENT.
    pub tuple: Tuple,
    /// Owner of the socket.
    pub owner: Owner,
}

const _: () = assert!(size_of::<TableEntry>() == 128, "two cache lines");

/// The fields of an entry that a sample changes with one compare-and-swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlWord {
    /// Lowest round trip since the open, in µs. `u32::MAX` if there is none yet.
    pub rtt_min_us: u32,
    /// Bits of [`crate::flag`].
    pub flags: u16,
    /// Passes since the last emitted sample.
    pub idle_passes: u8,
    /// Number of emitted samples; wraps.
    pub samples: u8,
}

impl ControlWord {
    /// Index of the byte of [`TableEntry::control`] that contains `idle_passes`, in little-endian order.
    pub const IDLE_PASSES_BYTE: usize = 6;

    /// Returns the control word of a connection that has not been sampled yet.
    pub const fn new(flags: u16) -> Self {
        Self { rtt_min_us: u32::MAX, flags, idle_passes: 0, samples: 0 }
    }

    /// Packs the fields into one word, the first field lowest.
    #[inline(always)]
    pub const fn pack(self) -> u64 {
        self.rtt_min_us as u64
            | Self::flag_bits(self.flags)
            | (self.idle_passes as u64) << 48
            | (self.samples as u64) << 56
    }

    /// Returns a word with only these flags set.
    #[inline(always)]
    pub const fn flag_bits(flags: u16) -> u64 {
        (flags as u64) << 32
    }

    /// Unpacks what [`Self::pack`] packed.
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
