//! Counters per program and CPU, without a lock.

use longwave_ebpf_abi::tally::{COUNT, Program};

use crate::maps::TALLIES;

/// Adds one to a counter of [`longwave_ebpf_abi::tally`].
#[inline(always)]
pub fn count(program: Program, index: u32) {
    debug_assert!((index as usize) < COUNT);
    if let Some(counters) = TALLIES.get_ptr_mut(program as u32) {
        // SAFETY: `index` is below `COUNT`, and this program is the only writer on this CPU.
        unsafe {
            let counter = counters.cast::<u64>().add(index as usize);
            counter.write_volatile(counter.read_volatile() + 1);
        }
    }
}
