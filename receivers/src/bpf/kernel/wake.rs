//! Asking the kernel side to wake the reader of transitions: once, until it asks again.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The word that a program clears when it wakes the reader.
#[derive(Debug)]
pub struct Alarm {
    word: NonNull<AtomicU64>,
}

// SAFETY: the mapping belongs to this value alone and is not tied to a thread.
unsafe impl Send for Alarm {}

impl Alarm {
    /// Maps the array `armed`.
    pub fn new(map: BorrowedFd<'_>) -> io::Result<Self> {
        // SAFETY: a new mapping of the array's only page.
        let page = unsafe {
            mmap(
                std::ptr::null_mut(),
                size_of::<AtomicU64>(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                map,
                0,
            )?
        };
        let word = NonNull::new(page.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { word })
    }

    /// From now on the next transition that fills the ring to its watermark wakes the reader.
    pub fn arm(&self) {
        // SAFETY: the array's first word, which the kernel side only reads and exchanges.
        unsafe { self.word.as_ref() }.store(1, Ordering::SeqCst);
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, with this length; nothing borrows from it any more.
        unsafe {
            let _ = munmap(self.word.as_ptr().cast(), size_of::<AtomicU64>());
        }
    }
}
