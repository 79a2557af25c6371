//! Atomic operations of the BPF instruction set (version 3), written as assembly: the target's `core` has none.

use core::arch::asm;

/// Writes `new` and returns what was there, with a full barrier.
///
/// # Safety
/// `word` is valid for writes and 8-byte aligned.
#[inline(always)]
pub unsafe fn exchange(word: *mut u64, new: u64) -> u64 {
    let old;
    // SAFETY: by the caller's promise.
    unsafe {
        asm!("{new} = xchg_64({word} + 0, {new})", word = in(reg) word, new = inlateout(reg) new => old);
    }
    old
}

/// Writes `new` if the word is `expected`, with a full barrier. Returns what was there.
///
/// # Safety
/// `word` is valid for writes and 8-byte aligned.
#[inline(always)]
pub unsafe fn compare_exchange(word: *mut u64, expected: u64, new: u64) -> u64 {
    let old;
    // SAFETY: by the caller's promise.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({word} + 0, r0, {new})",
            word = in(reg) word,
            new = in(reg) new,
            inlateout("r0") expected => old,
        );
    }
    old
}
