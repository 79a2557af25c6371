//! Length of the kernel's clock tick, in which TCP measures what limits a connection.

use std::num::NonZeroU32;

use rustix::time::{ClockId, clock_getres};

/// Frequencies of the tick with which kernels for servers are built (`CONFIG_HZ`).
const FREQUENCIES: [u64; 4] = [100, 250, 300, 1000];

/// Returns the microseconds in a tick (a jiffy), rounded down as in `struct tcp_info`. `None` if the kernel's tick has none of the usual
/// frequencies.
///
/// The coarse clocks advance with each tick, so that their resolution is the length of one.
pub fn micros() -> Option<NonZeroU32> {
    let resolution = clock_getres(ClockId::MonotonicCoarse);
    micros_of(
        u64::try_from(resolution.tv_sec)
            .ok()?
            .checked_mul(1_000_000_000)?
            .checked_add(u64::try_from(resolution.tv_nsec).ok()?)?,
    )
}

/// Returns the microseconds of a tick with this length in nanoseconds.
pub fn micros_of(tick_nanos: u64) -> Option<NonZeroU32> {
    let frequency = (1_000_000_000 + tick_nanos / 2).checked_div(tick_nanos)?;
    let known = FREQUENCIES.into_iter().find(|known| *known == frequency)?;
    NonZeroU32::new((1_000_000 / known) as u32)
}
