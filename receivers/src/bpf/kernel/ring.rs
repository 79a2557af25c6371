//! Reading a BPF ring buffer completely.
//!
//! `aya`'s reader stops at the first record that is reserved and not committed yet. A softirq's records can lie behind
//! one that the interrupted task is still filling in, on the same CPU: a complete drain waits for it, boundedly.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
const HEADER: u64 = 8;

/// How often a busy record is looked at again, giving way in between, before a drain gives up on it.
const PATIENCE: u32 = 20_000;

/// What a drain found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Records handed over.
    pub records: usize,
    /// A record stayed uncommitted for longer than any program takes: what is behind it comes with the next drain.
    pub stuck: bool,
}

/// The user-space end of a ring buffer.
#[derive(Debug)]
pub struct Ring {
    fd: OwnedFd,
    consumer: NonNull<u8>,
    producer: NonNull<u8>,
    page: usize,
    size: usize,
}

// SAFETY: the mappings belong to this value alone and are not tied to a thread.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps a ring buffer of `size` bytes.
    pub fn new(fd: BorrowedFd<'_>, size: u32) -> io::Result<Self> {
        let fd = fd.try_clone_to_owned()?;
        // SAFETY: takes no pointers.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(io::Error::other)?;
        let size = size as usize;
        // SAFETY: new mappings of the map's first page (ours to write), and of the second with the data twice (read-only).
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

    /// Hands over everything that was committed before the call.
    pub fn drain(&mut self, on: &mut dyn FnMut(&[u8])) -> Drained {
        // SAFETY: the positions are at the beginning of their pages, written by the kernel and by us only.
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
            // SAFETY: within the data, which is mapped twice so that no record wraps.
            let record = unsafe { self.producer.as_ptr().add(self.page + start) };
            // SAFETY: each record begins with its length, 8-byte aligned.
            let Some(length) = settled(unsafe { AtomicU32::from_ptr(record.cast()) }) else {
                drained.stuck = true;
                break;
            };
            let size = u64::from(length & !(BUSY | DISCARDED));
            if length & DISCARDED == 0 {
                // SAFETY: the record is committed, and the kernel does not reuse it before the position below moves on.
                on(unsafe { std::slice::from_raw_parts(record.add(HEADER as usize), size as usize) });
                drained.records += 1;
            }
            at += (size + HEADER).next_multiple_of(8);
            consumer.store(at, Ordering::Release);
        }
        drained
    }
}

/// The length of a record once it is committed.
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
        // SAFETY: mapped in `new`, with these lengths; nothing borrows from them any more.
        unsafe {
            let _ = munmap(self.consumer.as_ptr().cast(), self.page);
            let _ = munmap(self.producer.as_ptr().cast(), self.page + 2 * self.size);
        }
    }
}
