//! One word of the table: what a slot holds.

/// A key. From the low bits: whether the slot is being filled (1 bit), the tag (9 bits), the socket's address without its 3 low and 7
/// high bits (54 bits; zero where the slot is not published).
///
/// Kernel objects are aligned to 8 bytes, and kernel addresses have at most 57 significant bits, so nothing of the address is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Key(pub u64);

const FILLING: u64 = 1;
const TAG_UNIT: u64 = 1 << 1;
const TAG: u64 = 0x1ff << 1;
const ADDRESS_SHIFT: u32 = 7;
const LOW_BITS: u64 = 7;
const BELOW_ADDRESS: u32 = 10;

impl Key {
    /// Free, with the first tag.
    pub const FREE: Self = Self(0);

    /// Whether nobody has the slot.
    #[inline(always)]
    pub const fn is_free(self) -> bool {
        self.0 & !TAG == 0
    }

    /// Published for the socket at `address`.
    #[inline(always)]
    pub const fn holds(self, address: u64) -> bool {
        (self.0 ^ (address << ADDRESS_SHIFT)) >> BELOW_ADDRESS == 0
    }

    /// The address of the socket; `None` if the slot is not published.
    #[inline(always)]
    pub const fn address(self) -> Option<u64> {
        if self.0 >> BELOW_ADDRESS == 0 {
            return None;
        }
        // Sign extension: the high bits of a kernel address are ones.
        Some((self.0 as i64 >> ADDRESS_SHIFT) as u64 & !LOW_BITS)
    }

    /// 1 if the slot is published, else 0: the highest bit of a kernel address is set. Without a comparison, so that a sum over keys has no
    /// branches.
    #[inline(always)]
    pub const fn published_bit(self) -> u64 {
        self.0 >> 63
    }

    /// Owned by the one that fills the entry, with the same tag.
    #[inline(always)]
    pub const fn filling(self) -> Self {
        Self((self.0 & TAG) | FILLING)
    }

    /// Published, with the same tag.
    #[inline(always)]
    pub const fn published(self, address: u64) -> Self {
        Self((self.0 & TAG) | ((address << ADDRESS_SHIFT) & !(TAG | FILLING)))
    }

    /// Free, with the next tag.
    #[inline(always)]
    pub const fn freed(self) -> Self {
        Self(((self.0 & TAG) + TAG_UNIT) & TAG)
    }
}

#[cfg(test)]
mod tests;
