//! Zeroing and copying with volatile words of 8 bytes, which the compiler cannot replace by calls.

use core::mem::size_of;

/// Zeroes `*at`.
///
/// # Safety
/// `at` is valid for writes and 8-byte aligned. The size of `T` is a multiple of 8.
#[inline(always)]
pub unsafe fn zero<T>(at: *mut T) {
    const { assert!(size_of::<T>() % 8 == 0) }
    let words = at.cast::<u64>();
    let mut index = 0;
    while index < size_of::<T>() / 8 {
        // SAFETY: the word is within `T`, which is valid and aligned, as the caller guarantees.
        unsafe { words.add(index).write_volatile(0) };
        index += 1;
    }
}

/// Copies `*from` to `*to`.
///
/// # Safety
/// `to` is valid for writes, `from` for reads. Both are 8-byte aligned. The size of `T` is a multiple of 8.
#[inline(always)]
pub unsafe fn copy<T>(to: *mut T, from: *const T) {
    const { assert!(size_of::<T>() % 8 == 0) }
    let (to, from) = (to.cast::<u64>(), from.cast::<u64>());
    let mut index = 0;
    while index < size_of::<T>() / 8 {
        // SAFETY: the word is within `T`, which is valid and aligned, as the caller guarantees.
        unsafe { to.add(index).write_volatile(from.add(index).read_volatile()) };
        index += 1;
    }
}
