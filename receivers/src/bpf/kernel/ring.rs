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
///
/// The kernel offers the data twice in a row, so that no record wraps. Mapped memory counts as resident, so this maps the data once and
/// copies the one record in a lap that wraps.
#[derive(Debug)]
pub struct Ring {
    fd: OwnedFd,
    consumer: NonNull<u8>,
    producer: NonNull<u8>,
    page: usize,
    size: usize,
    /// The record that wraps, in one piece. Made of words, so that it is aligned like the ring's records.
    wrapped: Vec<u64>,
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
        // SAFETY: new mappings of the map's first page (ours to write), and of the second with the data (read-only).
        let (consumer, producer) = unsafe {
            let null = std::ptr::null_mut();
            let consumer = mmap(null, page, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &fd, 0)?;
            let producer = mmap(null, page + size, ProtFlags::READ, MapFlags::SHARED, &fd, page as u64);
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
        Ok(Self { fd, consumer, producer, page, size, wrapped: Vec::new() })
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
            // SAFETY: within the data. A header never wraps: records and the data's size are multiples of its size.
            let record = unsafe { self.producer.as_ptr().add(self.page + start) };
            // SAFETY: each record begins with its length, 8-byte aligned.
            let Some(length) = settled(unsafe { AtomicU32::from_ptr(record.cast()) }) else {
                drained.stuck = true;
                break;
            };
            let size = u64::from(length & !(BUSY | DISCARDED));
            if length & DISCARDED == 0 {
                // SAFETY: the record is committed, and the kernel does not reuse it before the position below moves on.
                on(unsafe { self.payload(start + HEADER as usize, size as usize) });
                drained.records += 1;
            }
            at += (size + HEADER).next_multiple_of(8);
            consumer.store(at, Ordering::Release);
        }
        drained
    }
}

impl Ring {
    /// The `length` bytes from offset `start` of the data on, in one piece.
    ///
    /// # Safety
    /// They belong to a committed record that the kernel does not reuse while the slice lives, and `length` is at most the ring's size.
    unsafe fn payload(&mut self, start: usize, length: usize) -> &[u8] {
        let start = start & (self.size - 1);
        let first = length.min(self.size - start);
        // SAFETY: `start` is within the data.
        let data = unsafe { self.producer.as_ptr().add(self.page) };
        if first == length {
            // SAFETY: `start + length` is within the data.
            return unsafe { std::slice::from_raw_parts(data.add(start), length) };
        }
        self.wrapped.resize(length.div_ceil(8), 0);
        let copy = self.wrapped.as_mut_ptr().cast::<u8>();
        // SAFETY: `first` bytes are left behind `start`, the rest is at the beginning of the data; the copy has room for both.
        unsafe {
            copy.copy_from_nonoverlapping(data.add(start), first);
            copy.add(first).copy_from_nonoverlapping(data, length - first);
            std::slice::from_raw_parts(copy, length)
        }
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
            let _ = munmap(self.producer.as_ptr().cast(), self.page + self.size);
        }
    }
}
