//! Splits a stream of bytes into lines.

use super::failure::Failure;

/// Bytes that were received, and how many of them were read as lines.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    bytes: Vec<u8>,
    read: usize,
    /// There is no line end before this index.
    searched: usize,
}

/// Limit on the bytes of a line. An object in the API server's store has at most 1.5 MiB.
const MAX_BUFFERED: usize = 16 << 20;
/// Capacity that is kept between events.
const KEPT_CAPACITY: usize = 64 << 10;

// === impl LineBuffer ===

impl LineBuffer {
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Failure> {
        if self.bytes.len() + piece.len() > MAX_BUFFERED {
            return Err(Failure::Malformed("an event is longer than 16 MiB".to_owned()));
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// Returns the next complete line that is not blank, without its end.
    pub fn next(&mut self) -> Option<&[u8]> {
        loop {
            let Some(length) = self.bytes.get(self.searched..)?.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.bytes.len();
                return None;
            };
            let (start, end) = (self.read, self.searched + length);
            self.read = end + 1;
            self.searched = self.read;
            if self.bytes[start..end].iter().any(|byte| !byte.is_ascii_whitespace()) {
                return self.bytes.get(start..end);
            }
        }
    }

    /// Drops the bytes that were read.
    pub fn compact(&mut self) {
        self.bytes.drain(..self.read);
        self.searched -= self.read;
        self.read = 0;
        if self.bytes.len() < KEPT_CAPACITY {
            self.bytes.shrink_to(KEPT_CAPACITY);
        }
    }
}
