//! Reading BPF iterators in bounded steps.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::sys;

/// Bytes per read: a program writes 8 for what it emits and for every eighth idle entry, so that no read holds a CPU for
/// long.
const STEP: usize = 4096;
/// Iterators end; this only keeps a broken one from going on for ever.
const MAX_STEPS: u64 = 10_000_000;

/// A pass could not be made or not be finished.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// Creating or reading the iterator failed.
    #[error(
        "{what}: {source}: the kernel refused to walk its sockets; was the descriptor limit reached or a capability dropped?"
    )]
    Io {
        /// Which call.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The iterator did not end.
    #[error("{what}: the kernel's iterator did not end after {MAX_STEPS} reads")]
    Endless {
        /// Which iterator.
        what: &'static str,
    },
}

/// An iterator program, attached: each run walks everything once.
#[derive(Debug)]
pub struct Iterator {
    link: OwnedFd,
    what: &'static str,
}

impl Iterator {
    /// Attaches a loaded program; to a map's elements where `map` is given.
    pub fn attach(
        what: &'static str,
        program: BorrowedFd<'_>,
        map: Option<BorrowedFd<'_>>,
    ) -> io::Result<Self> {
        Ok(Self { link: sys::iterator_link(program, map)?, what })
    }

    /// Walks everything once, calling `between` after each read; returns the number of reads.
    pub fn run(&self, between: &mut dyn FnMut()) -> Result<u64, PassError> {
        let fail = |source| PassError::Io { what: self.what, source };
        let run = sys::iterator(self.link.as_fd()).map_err(fail)?;
        let mut buffer = [0u8; STEP];
        for step in 0..MAX_STEPS {
            match rustix::io::read(&run, &mut buffer) {
                Ok(0) => {
                    between();
                    return Ok(step);
                }
                // EAGAIN: a million elements without output; the next read goes on.
                Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => between(),
                Err(error) => return Err(fail(error.into())),
            }
        }
        Err(PassError::Endless { what: self.what })
    }
}
