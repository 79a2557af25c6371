//! The value of the connection table.

use crate::{Owner, Tuple};

/// Bits of [`Tracked::flags`] that no event carries.
pub mod internal {
    /// The close was emitted, but the entry could not be deleted then: the sampler deletes it in silence.
    pub const CLAIMED: u16 = 1 << 15;
}

/// What the kernel side remembers of an open connection; the key is the socket's address. What a sampling pass reads of an
/// idle one comes first.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// Socket cookie.
    pub cookie: u64,
    /// Last sampled `rcv_nxt`, `snd_nxt`, `snd_una`, `delivered`.
    pub moved: [u32; 4],
    /// Lifetime minimum of the round trip, microseconds; `u32::MAX`: none yet.
    pub rtt_min_lifetime_us: u32,
    /// Bits of [`crate::flag`] and [`internal`].
    pub flags: u16,
    /// Passes since the last emitted sample.
    pub idle_passes: u8,
    /// Samples emitted so far, wraps.
    pub samples: u8,
    /// Monotonic nanoseconds of the open; 0: not seen.
    pub generation: u64,
    /// Monotonic nanoseconds at which ESTABLISHED was reached; 0: not seen.
    pub established_ns: u64,
    /// Endpoints; the local port may still be 0 in SYN_SENT.
    pub tuple: Tuple,
    /// Owner.
    pub owner: Owner,
}
