//! Filling in the counters, from a socket that the verifier knows or from a copy of its memory.

use longwave_ebpf_abi::{Counters, flag, offsets::ABSENT};

use crate::{config::offset, socket::Socket};

/// Where counters are read from.
pub trait Source: Copy {
    fn u32(self, offset: u32) -> u32;
    fn u64(self, offset: u32) -> u64;
}

impl Source for Socket {
    #[inline(always)]
    fn u32(self, offset: u32) -> u32 {
        self.load(offset)
    }

    #[inline(always)]
    fn u64(self, offset: u32) -> u64 {
        self.load(offset)
    }
}

/// A copy of the socket's memory, in per-CPU scratch.
#[derive(Clone, Copy)]
pub struct Scratch {
    /// Where the copy begins.
    pub at: *const u8,
    /// Offset in the socket of its first byte.
    pub start: u32,
}

impl Source for Scratch {
    #[inline(always)]
    fn u32(self, offset: u32) -> u32 {
        if offset == ABSENT {
            return 0;
        }
        // SAFETY: the loader set the range so that it holds every present counter.
        unsafe { self.at.add((offset - self.start) as usize).cast::<u32>().read_volatile() }
    }

    #[inline(always)]
    fn u64(self, offset: u32) -> u64 {
        if offset == ABSENT {
            return 0;
        }
        // SAFETY: likewise.
        unsafe { self.at.add((offset - self.start) as usize).cast::<u64>().read_volatile() }
    }
}

/// Fills in all counters but the lifetime minimum of the round trip, padding included; gives the current minimum.
///
/// # Safety
/// `counters` is valid for writes.
#[inline(always)]
pub unsafe fn fill(counters: *mut Counters, from: impl Source) -> u32 {
    macro_rules! put {
        ($read:ident: $($field:ident)*) => {
            $((&raw mut (*counters).$field).write_volatile(from.$read(offset!($field)));)*
        };
    }
    // SAFETY: fields of the counters.
    unsafe {
        put!(u64: bytes_acked bytes_received bytes_sent bytes_retrans);
        put!(u32: write_seq snd_nxt snd_una rcv_nxt copied_seq segs_out segs_in data_segs_out data_segs_in);
        put!(u32: total_retrans lost delivered srtt_us mdev_us snd_cwnd mss_cache packets_out);
        put!(u32: rate_delivered rate_interval_us);
        let minimum = if offset!(rtt_min) == ABSENT { u32::MAX } else { from.u32(offset!(rtt_min)) };
        (&raw mut (*counters).rtt_min_us).write_volatile(minimum);
        (&raw mut (*counters)._pad).write_volatile(0);
        minimum
    }
}

/// The marks of a socket's byte counts.
#[inline(always)]
pub fn marks_of(socket: Socket) -> u16 {
    marks(
        socket.load::<u64>(offset!(ulp_ops)),
        socket.load::<u8>(offset!(is_mptcp)),
        socket.load::<u64>(offset!(user_data)),
    )
}

/// The low bits of `sk_user_data` that say that it is a sockmap's.
const SK_USER_DATA_PSOCK: u64 = 4;

/// What makes the byte counts something else than the application's.
#[inline(always)]
pub fn marks(ulp: u64, mptcp: u8, user_data: u64) -> u16 {
    let mut marks = 0;
    if ulp != 0 {
        marks |= flag::ULP;
    }
    if mptcp != 0 {
        marks |= flag::MPTCP;
    }
    if user_data & SK_USER_DATA_PSOCK != 0 {
        marks |= flag::REDIRECTED;
    }
    marks
}
