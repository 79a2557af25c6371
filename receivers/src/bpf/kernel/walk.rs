//! Walks of the kernel's iterators, for connections that are older than the programs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::sys;

/// Bytes per read: a program writes 8 for each socket that it sees, so that no read holds a CPU for long.
const STEP: usize = 4096;
/// Iterators end; this only keeps a broken one from going on for ever.
const MAX_STEPS: u64 = 10_000_000;

/// A walk could not be made or not be finished.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// Creating or reading the iterator failed.
    #[error(
        "{what}: {source}: the kernel refused to walk its sockets; was the descriptor limit reached or a capability dropped?"
    )]
    Io {
        /// Which program.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The iterator did not end.
    #[error("{what}: the kernel's iterator did not end after {MAX_STEPS} reads")]
    Endless {
        /// Which program.
        what: &'static str,
    },
}

/// An iterator program, attached: each run walks everything once.
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

    /// Walks everything once.
    pub fn run(&self) -> Result<(), WalkError> {
        let fail = |source| WalkError::Io { what: self.what, source };
        let run = sys::iterator(self.link.as_fd()).map_err(fail)?;
        let mut buffer = [0u8; STEP];
        for _ in 0..MAX_STEPS {
            match rustix::io::read(&run, &mut buffer) {
                Ok(0) => return Ok(()),
                // EAGAIN: a million elements without output; the next read goes on.
                Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(fail(error.into())),
            }
        }
        Err(WalkError::Endless { what: self.what })
    }
}
