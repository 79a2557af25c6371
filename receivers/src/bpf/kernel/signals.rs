//! Flags for the running programs, in memory that they share with user space.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use longwave_ebpf_abi::Signals;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The mapped array `signals`.
#[derive(Debug)]
pub struct SharedSignals {
    signals: NonNull<Signals>,
}

// SAFETY: the value is the only owner of the mapping, which any thread may use.
unsafe impl Send for SharedSignals {}

impl SharedSignals {
    /// Maps the array `signals`.
    pub fn new(map: BorrowedFd<'_>) -> io::Result<Self> {
        // SAFETY: this is a new mapping of the only page of the array.
        let page = unsafe {
            mmap(
                std::ptr::null_mut(),
                size_of::<Signals>(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                map,
                0,
            )?
        };
        let signals = NonNull::new(page.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { signals })
    }

    /// Requests one wake-up, at the next transition that finds the ring filled to the watermark.
    pub fn arm(&self) {
        // SAFETY: the field is within the mapping.
        self.store(unsafe { &raw mut (*self.signals.as_ptr()).armed }, 1);
    }

    /// Sets the flag that seeding runs.
    pub fn set_seeding(&self, seeding: bool) {
        // SAFETY: the field is within the mapping.
        self.store(unsafe { &raw mut (*self.signals.as_ptr()).seeding }, seeding.into());
    }

    /// Stores that no thread walks the descriptors any more.
    pub fn clear_walker(&self) {
        // SAFETY: the field is within the mapping.
        self.store(unsafe { &raw mut (*self.signals.as_ptr()).walker }, 0);
    }

    fn store(&self, word: *mut u64, value: u64) {
        // SAFETY: the word is aligned, within the mapping, and only accessed atomically.
        unsafe { AtomicU64::from_ptr(word) }.store(value, Ordering::SeqCst);
    }
}

impl Drop for SharedSignals {
    fn drop(&mut self) {
        // SAFETY: `new` mapped this length, and nothing borrows from the mapping any more.
        unsafe {
            let _ = munmap(self.signals.as_ptr().cast(), size_of::<Signals>());
        }
    }
}
