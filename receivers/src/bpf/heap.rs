//! [`release_memory`]: gives free memory of the heap back to the kernel. It is here because other crates contain no `unsafe`.

/// Gives the pages of the heap that have no allocation back to the kernel. Does nothing with another C library than glibc.
pub fn release_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `malloc_trim` has no preconditions, and any thread may call it.
    unsafe {
        libc::malloc_trim(0);
    }
}
