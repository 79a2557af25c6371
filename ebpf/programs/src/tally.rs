//! Counting, per CPU and without a lock.

use core::arch::asm;

use longwave_ebpf_abi::tally::COUNT;

use crate::maps::TALLIES;

/// Adds one to a counter of [`longwave_ebpf_abi::tally`].
#[inline(always)]
pub fn count(index: u32) {
    debug_assert!((index as usize) < COUNT);
    if let Some(counters) = TALLIES.get_ptr_mut(0) {
        // SAFETY: `index` is below COUNT. Atomic, since a softirq may interrupt the addition on this CPU; by hand, since
        // the target's `core` has no `fetch_add`.
        unsafe {
            let counter = counters.cast::<u64>().add(index as usize);
            asm!("lock *(u64 *)({counter} + 0) += {one}", counter = in(reg) counter, one = in(reg) 1u64);
        }
    }
}
