//! What user space asks of the running programs, through memory that both see.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use longwave_ebpf_abi::Signals;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The array `signals`, mapped.
#[derive(Debug)]
pub struct SharedSignals {
    signals: NonNull<Signals>,
}

// SAFETY: the mapping belongs to this value alone and is not tied to a thread.
unsafe impl Send for SharedSignals {}

impl SharedSignals {
    /// Maps the array.
    pub fn new(map: BorrowedFd<'_>) -> io::Result<Self> {
        // SAFETY: a new mapping of the array's only page.
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

    /// From now on the next transition that fills the ring to its watermark wakes the reader.
    pub fn arm(&self) {
        // SAFETY: a word of the array.
        self.store(unsafe { &raw mut (*self.signals.as_ptr()).armed }, 1);
    }

    /// Tells the programs whether seeding runs.
    pub fn set_seeding(&self, seeding: bool) {
        // SAFETY: a word of the array.
        self.store(unsafe { &raw mut (*self.signals.as_ptr()).seeding }, seeding.into());
    }

    fn store(&self, word: *mut u64, value: u64) {
        // SAFETY: an aligned word of the mapping, which all sides access atomically.
        unsafe { AtomicU64::from_ptr(word) }.store(value, Ordering::SeqCst);
    }
}

impl Drop for SharedSignals {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, with this length; nothing borrows from it any more.
        unsafe {
            let _ = munmap(self.signals.as_ptr().cast(), size_of::<Signals>());
        }
    }
}
