//! Reads and writes little-endian fields.

use super::error::Fault;

/// Writes fields to a buffer of known size, from its start.
pub(super) struct Writer<'a> {
    rest: &'a mut [u8],
}

/// Reads fields from the start of a buffer.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Writer<'a> {
    pub(super) fn new(buffer: &'a mut [u8]) -> Self {
        Self { rest: buffer }
    }

    /// Writes `bytes`. Buffers have exactly the size of their fields: a field without room is a bug of this module and is not written.
    #[inline(always)]
    pub(super) fn bytes<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some((field, rest)) = std::mem::take(&mut self.rest).split_first_chunk_mut::<N>() {
            *field = bytes;
            self.rest = rest;
        } else {
            debug_assert!(false, "no room for a field of {N} bytes");
        }
    }

    #[inline(always)]
    pub(super) fn u8(&mut self, value: u8) {
        self.bytes([value]);
    }

    #[inline(always)]
    pub(super) fn u16(&mut self, value: u16) {
        self.bytes(value.to_le_bytes());
    }

    #[inline(always)]
    pub(super) fn u32(&mut self, value: u32) {
        self.bytes(value.to_le_bytes());
    }

    #[inline(always)]
    pub(super) fn u64(&mut self, value: u64) {
        self.bytes(value.to_le_bytes());
    }

    pub(super) fn is_full(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline(always)]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (field, rest) = self.rest.split_first_chunk::<N>().ok_or(SHORT)?;
        self.rest = rest;
        Ok(*field)
    }

    #[inline(always)]
    pub(super) fn u8(&mut self) -> Result<u8, Fault> {
        self.array().map(|[byte]| byte)
    }

    #[inline(always)]
    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_le_bytes)
    }

    #[inline(always)]
    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline(always)]
    pub(super) fn u64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (field, rest) = self.rest.split_at_checked(len).ok_or(SHORT)?;
        self.rest = rest;
        Ok(field)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn finish(self) -> Result<(), Fault> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Fault::Damaged("a block is longer than its header says"))
        }
    }
}

const SHORT: Fault = Fault::Damaged("a block is shorter than its header says");
