//! Drains a BPF ring buffer completely.
//!
//! The reader of `aya` stops at the first record that is reserved and not committed yet. A task may have reserved that record and a softirq
//! may have interrupted it and committed records after it. This reader waits for the record for a bounded time.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aya::Ebpf;
use aya::maps::Map;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::Diagnosis;

const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
const HEADER: u64 = 8;

/// Number of times that a drain reads the length of an uncommitted record before it gives up. It yields the CPU in between.
const MAX_READS: u32 = 20_000;

/// Result of a drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Records passed to the callback.
    pub records: usize,
    /// Whether the drain ended at a record that stayed uncommitted for longer than any program takes. The next drain continues there.
    pub stuck: bool,
}

/// Consumer side of a ring buffer.
///
/// The kernel can map the data twice in a row, so that no record wraps. Mapped memory counts as resident, so this reader maps the data
/// once, and copies a record that wraps, at most one per lap of the ring.
#[derive(Debug)]
pub struct Ring {
    fd: OwnedFd,
    consumer: NonNull<u8>,
    producer: NonNull<u8>,
    page: usize,
    size: usize,
    /// Copy of the last record that wrapped. `u64` gives it the alignment of the ring's records.
    wrapped: Vec<u64>,
}

// SAFETY: the value is the only owner of the mappings, which any thread may use.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps the ring buffer `name` of the object, which has `size` bytes.
    ///
    /// # Errors
    /// The object lacks the ring buffer, or it cannot be mapped.
    pub fn of(ebpf: &Ebpf, name: &'static str, size: u32) -> Result<Self, Diagnosis> {
        match ebpf.map(name) {
            Some(Map::RingBuf(map)) => {
                Self::new(map.fd().as_fd(), size).map_err(|source| Diagnosis::unmapped(name, source))
            }
            _ => Err(Diagnosis::missing_map(name)),
        }
    }

    /// Maps a ring buffer of `size` bytes.
    fn new(fd: BorrowedFd<'_>, size: u32) -> io::Result<Self> {
        let fd = fd.try_clone_to_owned()?;
        // SAFETY: the call takes no pointers.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(io::Error::other)?;
        let size = size as usize;
        // SAFETY: both mappings are new: the first page of the map, which is writable, and read-only its second page with the data.
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

    /// Passes all records that were committed before the call to `on`.
    pub fn drain(&mut self, on: &mut dyn FnMut(&[u8])) -> Drained {
        self.drain_to(self.end(), on)
    }

    /// Returns the position after the last record.
    pub fn end(&self) -> u64 {
        // SAFETY: the position is the first word of its page, and only accessed atomically.
        unsafe { AtomicU64::from_ptr(self.producer.as_ptr().cast()) }.load(Ordering::Acquire)
    }

    /// Passes all records before `end`, which [`Self::end`] returned, to `on`.
    pub fn drain_to(&mut self, end: u64, on: &mut dyn FnMut(&[u8])) -> Drained {
        // SAFETY: the position is the first word of its page, and only accessed atomically.
        let consumer = unsafe { AtomicU64::from_ptr(self.consumer.as_ptr().cast()) };
        let mut at = consumer.load(Ordering::Relaxed);
        let mut drained = Drained::default();
        while at < end {
            let start = (at as usize) & (self.size - 1);
            // SAFETY: the offset is within the data. A header never wraps: the sizes of records and of the data are multiples of its size.
            let record = unsafe { self.producer.as_ptr().add(self.page + start) };
            // SAFETY: each record begins with its length and is aligned to 8 bytes.
            let Some(length) = wait_until_committed(unsafe { AtomicU32::from_ptr(record.cast()) }) else {
                drained.stuck = true;
                break;
            };
            let size = u64::from(length & !(BUSY | DISCARDED));
            if length & DISCARDED == 0 {
                // SAFETY: the record is committed, and the kernel does not reuse it before the consumer position below is stored.
                on(unsafe { self.payload(start + HEADER as usize, size as usize) });
                drained.records += 1;
            }
            at += (size + HEADER).next_multiple_of(8);
            consumer.store(at, Ordering::Release);
        }
        drained
    }

    /// Returns `length` bytes from offset `start` of the data in one piece, also if they wrap.
    ///
    /// # Safety
    /// The bytes are those of one committed record, and the kernel does not reuse it while the slice lives.
    unsafe fn payload(&mut self, start: usize, length: usize) -> &[u8] {
        let start = start & (self.size - 1);
        let first = length.min(self.size - start);
        // SAFETY: the page of the producer position is mapped in front of the data.
        let data = unsafe { self.producer.as_ptr().add(self.page) };
        if first == length {
            // SAFETY: `start + length` is at most the size of the data.
            return unsafe { std::slice::from_raw_parts(data.add(start), length) };
        }
        self.wrapped.resize(length.div_ceil(8), 0);
        let copy = self.wrapped.as_mut_ptr().cast::<u8>();
        // SAFETY: `first` bytes are the last of the data, the others are its first, and the copy has room for all.
        unsafe {
            copy.copy_from_nonoverlapping(data.add(start), first);
            copy.add(first).copy_from_nonoverlapping(data, length - first);
            std::slice::from_raw_parts(copy, length)
        }
    }
}

/// Waits until a record is committed. Returns its length, or `None` if it stays uncommitted.
fn wait_until_committed(length: &AtomicU32) -> Option<u32> {
    for attempt in 0..MAX_READS {
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
            let _ = munmap(self.producer.as_ptr().cast(), self.page + self.size);
        }
    }
}
