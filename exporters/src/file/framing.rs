//! [`Framing`]: where a request ends in the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How requests are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// A line break after each request.
    Lines,
    /// The request's length before it, as 4 bytes, the highest first.
    Prefixed,
}

/// What an existing file ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// A whole request, or nothing.
    Whole,
    /// A line without its line break.
    UnendedLine,
    /// A part of a request. The whole requests have this length.
    Torn {
        /// Bytes up to the end of the last whole request.
        whole: u64,
    },
    /// Bytes that are no lengths and requests.
    Foreign,
}

/// Bytes of a length.
const PREFIX: usize = 4;
/// Longest request that a length may announce. The first four characters of a text are a larger number.
const MAX_REQUEST: u64 = 64 << 20;

// === impl Framing ===

impl Framing {
    /// Returns the bytes to write for a request.
    ///
    /// # Errors
    /// The request is longer than a reader would accept.
    pub(super) fn frame(self, request: &[u8]) -> Result<Vec<u8>, String> {
        let mut framed = Vec::with_capacity(request.len() + PREFIX);
        match self {
            Self::Lines => {
                framed.extend_from_slice(request);
                framed.push(b'\n');
            }
            Self::Prefixed => {
                let len = u32::try_from(request.len()).ok().filter(|len| u64::from(*len) <= MAX_REQUEST);
                let len = len.ok_or_else(|| {
                    format!("a request of {} bytes is longer than {MAX_REQUEST} bytes", request.len())
                })?;
                framed.extend_from_slice(&len.to_be_bytes());
                framed.extend_from_slice(request);
            }
        }
        Ok(framed)
    }

    /// Looks at the end of a file of `len` bytes.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn tail(self, file: &File, len: u64) -> io::Result<Tail> {
        match self {
            Self::Lines => {
                let Some(last) = len.checked_sub(1) else { return Ok(Tail::Whole) };
                let mut byte = [0];
                file.read_exact_at(&mut byte, last)?;
                Ok(if byte == *b"\n" { Tail::Whole } else { Tail::UnendedLine })
            }
            Self::Prefixed => prefixed_tail(file, len),
        }
    }
}

/// Follows the lengths from the start of the file. Each step goes forward by at least the bytes of a length.
fn prefixed_tail(file: &File, len: u64) -> io::Result<Tail> {
    let mut at = 0;
    while at < len {
        let body = at + PREFIX as u64;
        if body > len {
            return Ok(Tail::Torn { whole: at });
        }
        let mut prefix = [0; PREFIX];
        file.read_exact_at(&mut prefix, at)?;
        let request = u64::from(u32::from_be_bytes(prefix));
        if request > MAX_REQUEST {
            return Ok(Tail::Foreign);
        }
        if body + request > len {
            return Ok(Tail::Torn { whole: at });
        }
        at = body + request;
    }
    Ok(Tail::Whole)
}
