//! The key of a slot: its state, tag and socket in one word.

/// Key of a slot. From the low bits up: whether the slot is claimed (1 bit), the tag (9 bits), the socket's address without its 3 low and
/// 7 high bits (54 bits). The address is zero unless the slot is published.
///
/// The key determines the whole address: kernel objects are aligned to 8 bytes, and kernel addresses have at most 57 significant bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Key(pub u64);

const CLAIMED: u64 = 1;
const TAG_UNIT: u64 = 1 << 1;
const TAG: u64 = 0x1ff << 1;
const ADDRESS_SHIFT: u32 = 7;
const LOW_BITS: u64 = 7;
const BELOW_ADDRESS: u32 = 10;

impl Key {
    /// Key of a free slot, with the first tag.
    pub const FREE: Self = Self(0);

    /// Returns whether the slot is free.
    #[inline(always)]
    pub const fn is_free(self) -> bool {
        self.0 & !TAG == 0
    }

    /// Returns whether the slot is published for the socket at `address`.
    #[inline(always)]
    pub const fn is_published_for(self, address: u64) -> bool {
        (self.0 ^ (address << ADDRESS_SHIFT)) >> BELOW_ADDRESS == 0
    }

    /// Returns the address of the socket; `None` if the slot is not published.
    #[inline(always)]
    pub const fn address(self) -> Option<u64> {
        if self.0 >> BELOW_ADDRESS == 0 {
            return None;
        }
        // The shift extends the sign, because the high bits of a kernel address are ones.
        Some((self.0 as i64 >> ADDRESS_SHIFT) as u64 & !LOW_BITS)
    }

    /// Returns 1 if the slot is published, else 0. Has no comparison, so that a sum over keys has no branches.
    #[inline(always)]
    pub const fn published_bit(self) -> u64 {
        // The highest bit of a kernel address is set.
        self.0 >> 63
    }

    /// Returns the key of the claimed slot, with the same tag.
    #[inline(always)]
    pub const fn claimed(self) -> Self {
        Self((self.0 & TAG) | CLAIMED)
    }

    /// Returns the key of the slot published for the socket at `address`, with the same tag.
    #[inline(always)]
    pub const fn published(self, address: u64) -> Self {
        Self((self.0 & TAG) | ((address << ADDRESS_SHIFT) & !(TAG | CLAIMED)))
    }

    /// Returns the key of the freed slot, with the next tag.
    #[inline(always)]
    pub const fn freed(self) -> Self {
        Self(((self.0 & TAG) + TAG_UNIT) & TAG)
    }
}

#[cfg(test)]
mod tests;
