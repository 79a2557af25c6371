//! Runs iterator programs, which visit all sockets that are older than the other programs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::sys;

/// Bytes per read. A program writes 8 for each socket that it visits, which limits the time of a read in the kernel.
const READ_BYTES: usize = 4096;
/// Limit of reads, in case that an iterator does not end.
const MAX_READS: u64 = 10_000_000;

/// Error of a walk.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// Creating or reading the iterator failed.
    #[error(
        "{what}: {source}: the kernel refused to walk its sockets; was the descriptor limit reached or a capability dropped?"
    )]
    Io {
        /// Name of the program.
        what: &'static str,
        /// Error that the kernel returned.
        source: io::Error,
    },
    /// The iterator did not end.
    #[error("{what}: the kernel's iterator did not end after {MAX_READS} reads")]
    Endless {
        /// Name of the program.
        what: &'static str,
    },
}

/// An attached iterator program.
#[derive(Debug)]
pub struct Walk {
    link: OwnedFd,
    what: &'static str,
}

impl Walk {
    /// Attaches a loaded program.
    pub fn attach(what: &'static str, program: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { link: sys::iterator_link(program)?, what })
    }

    /// Runs the program over all elements of its iterator. Calls `between` after each part.
    pub fn run(&self, mut between: impl FnMut()) -> Result<(), WalkError> {
        let fail = |source| WalkError::Io { what: self.what, source };
        let run = sys::iterator(self.link.as_fd()).map_err(fail)?;
        let mut buffer = [0u8; READ_BYTES];
        for _ in 0..MAX_READS {
            match rustix::io::read(&run, &mut buffer) {
                Ok(0) => return Ok(()),
                // The kernel returns EAGAIN after a million elements without output. The next read continues.
                Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => between(),
                Err(error) => return Err(fail(error.into())),
            }
        }
        Err(WalkError::Endless { what: self.what })
    }
}
