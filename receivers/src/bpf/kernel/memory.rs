//! Limits the resident memory of this process, at the cost of a little CPU time.

/// Allocations of at least this size, in bytes, are returned to the kernel as soon as they are freed. This is the initial
/// value in glibc. Setting it prevents glibc from raising it.
#[cfg(target_env = "gnu")]
const RETURNED_WHEN_FREED: libc::c_int = 128 << 10;

/// Makes the process return freed memory to the kernel, and use no transparent huge pages.
///
/// Parsing the kernel's types takes 12 MiB for a moment. After the first large allocation is freed, glibc by default keeps freed
/// allocations up to that size, and twice as much at the end of its heap: 12 MiB more resident memory at rest, and 25 MiB more at 100,000
/// connections.
///
/// If the host always uses huge pages, resident memory grows in steps of 2 MiB, and `khugepaged` stops the thread that reads the rings
/// while it moves pages (seen under Linux 7.2).
///
/// Both only save memory. If one is refused, everything else works.
pub fn keep_resident_memory_small() {
    // SAFETY: takes no pointers. glibc allows it at any time, from any thread.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, RETURNED_WHEN_FREED);
    }
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!("transparent huge pages stay enabled: {error}");
    }
}
