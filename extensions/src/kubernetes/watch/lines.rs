//! LineBuffer of a stream that comes in pieces.

use super::failure::Failure;

/// Bytes that came, and how far they are read.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    bytes: Vec<u8>,
    read: usize,
    /// No line end before it.
    searched: usize,
}

/// No object may be larger in the API server's store than 1.5 MiB.
const LONGEST: usize = 16 << 20;
/// Kept between events.
const KEPT: usize = 64 << 10;

// === impl LineBuffer ===

impl LineBuffer {
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Failure> {
        if self.bytes.len() + piece.len() > LONGEST {
            return Err(Failure::Malformed("an event is longer than 16 MiB".to_owned()));
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// The next whole line that is not empty, without its end.
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

    /// Drops what was read.
    pub fn compact(&mut self) {
        self.bytes.drain(..self.read);
        self.searched -= self.read;
        self.read = 0;
        if self.bytes.len() < KEPT {
            self.bytes.shrink_to(KEPT);
        }
    }
}
