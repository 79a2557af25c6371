//! Counting, per CPU and without a lock.

use longwave_ebpf_abi::tally::COUNT;

use crate::{atomic, maps::TALLIES};

/// Adds one to a counter of [`longwave_ebpf_abi::tally`]. Atomic, since a softirq may interrupt the addition on this CPU.
#[inline(always)]
pub fn count(index: u32) {
    debug_assert!((index as usize) < COUNT);
    if let Some(counters) = TALLIES.get_ptr_mut(0) {
        // SAFETY: `index` is below COUNT.
        unsafe { atomic::increment(counters.cast::<u64>().add(index as usize)) }
    }
}
