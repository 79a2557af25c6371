//! Drains a BPF ring buffer completely.
//!
//! The reader of `aya` stops at the first record that is reserved and not committed yet. A task may have reserved that record and a softirq
//! may have interrupted it and committed records after it. This reader waits for the record for a bounded time.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
const HEADER: u64 = 8;

/// Number of times that a drain reads the length of an uncommitted record before it gives up. It yields the CPU in between.
const PATIENCE: u32 = 20_000;

/// Result of a drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Records passed to the callback.
    pub records: usize,
    /// Whether the drain ended at a record that stayed uncommitted for longer than any program takes. The next drain continues there.
    pub stuck: bool,
}

/// Consumer side of a ring buffer.
#[derive(Debug)]
pub struct Ring {
    fd: OwnedFd,
    consumer: NonNull<u8>,
    producer: NonNull<u8>,
    page: usize,
    size: usize,
}

// SAFETY: the value is the only owner of the mappings, which any thread may use.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps a ring buffer of `size` bytes.
    pub fn new(fd: BorrowedFd<'_>, size: u32) -> io::Result<Self> {
        let fd = fd.try_clone_to_owned()?;
        // SAFETY: the call takes no pointers.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(io::Error::other)?;
        let size = size as usize;
        // SAFETY: both mappings are new: the first page of the map, which is writable, and read-only its second page with the data twice.
        let (consumer, producer) = unsafe {
            let null = std::ptr::null_mut();
            let consumer = mmap(null, page, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &fd, 0)?;
            let producer = mmap(null, page + 2 * size, ProtFlags::READ, MapFlags::SHARED, &fd, page as u64);
            match producer {
                Ok(producer) => (consumer, producer),
                Err(error) => {
                    let _ = munmap(consumer, page);
                    return Err(error.into());
                }
            }
        };
        let (Some(consumer), Some(producer)) = (NonNull::new(consumer.cast()), NonNull::new(producer.cast()))
        else {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        };
        Ok(Self { fd, consumer, producer, page, size })
    }

    /// Passes all records that were committed before the call to `on`.
    pub fn drain(&mut self, on: &mut dyn FnMut(&[u8])) -> Drained {
        // SAFETY: each position is the first word of its page, and only accessed atomically.
        let (consumer, producer) = unsafe {
            (
                AtomicU64::from_ptr(self.consumer.as_ptr().cast()),
                AtomicU64::from_ptr(self.producer.as_ptr().cast()),
            )
        };
        let end = producer.load(Ordering::Acquire);
        let mut at = consumer.load(Ordering::Relaxed);
        let mut drained = Drained::default();
        while at < end {
            let start = (at as usize) & (self.size - 1);
            // SAFETY: the record is within the data, which is mapped twice so that no record wraps.
            let record = unsafe { self.producer.as_ptr().add(self.page + start) };
            // SAFETY: each record begins with its length and is aligned to 8 bytes.
            let Some(length) = settled(unsafe { AtomicU32::from_ptr(record.cast()) }) else {
                drained.stuck = true;
                break;
            };
            let size = u64::from(length & !(BUSY | DISCARDED));
            if length & DISCARDED == 0 {
                // SAFETY: the record is committed, and the kernel does not reuse it before the consumer position below is stored.
                on(unsafe { std::slice::from_raw_parts(record.add(HEADER as usize), size as usize) });
                drained.records += 1;
            }
            at += (size + HEADER).next_multiple_of(8);
            consumer.store(at, Ordering::Release);
        }
        drained
    }
}

/// Waits until a record is committed. Returns its length, or `None` if it stays uncommitted.
fn settled(length: &AtomicU32) -> Option<u32> {
    for attempt in 0..PATIENCE {
        let value = length.load(Ordering::Acquire);
        if value & BUSY == 0 {
            return Some(value);
        }
        if attempt < 100 { std::hint::spin_loop() } else { std::thread::yield_now() }
    }
    None
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.fd.as_raw_fd()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: `new` mapped these lengths, and nothing borrows from the mappings any more.
        unsafe {
            let _ = munmap(self.consumer.as_ptr().cast(), self.page);
            let _ = munmap(self.producer.as_ptr().cast(), self.page + 2 * self.size);
        }
    }
}
