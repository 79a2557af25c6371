//! Atomic operations of the BPF instruction set (version 3), as assembly, because the target's `core` lacks them.

use core::arch::asm;

/// Writes `new` with a full barrier. Returns the previous value.
///
/// # Safety
/// `word` is valid for writes and 8-byte aligned.
#[inline(always)]
pub unsafe fn exchange(word: *mut u64, new: u64) -> u64 {
    let old;
    // SAFETY: `word` is valid and aligned, as the caller guarantees.
    unsafe {
        asm!("{new} = xchg_64({word} + 0, {new})", word = in(reg) word, new = inlateout(reg) new => old);
    }
    old
}

/// Sets bits, with a full barrier. Returns the previous value.
///
/// # Safety
/// `word` is valid for writes and 8-byte aligned.
#[inline(always)]
pub unsafe fn set_bits(word: *mut u64, bits: u64) -> u64 {
    let old;
    // SAFETY: `word` is valid and aligned, as the caller guarantees.
    unsafe {
        asm!("{bits} = atomic_fetch_or((u64 *)({word} + 0), {bits})", word = in(reg) word, bits = inlateout(reg) bits => old);
    }
    old
}

/// Writes `new` if the word is `expected`, with a full barrier. Returns the previous value.
///
/// # Safety
/// `word` is valid for writes and 8-byte aligned.
#[inline(always)]
pub unsafe fn compare_exchange(word: *mut u64, expected: u64, new: u64) -> u64 {
    let old;
    // SAFETY: `word` is valid and aligned, as the caller guarantees.
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
