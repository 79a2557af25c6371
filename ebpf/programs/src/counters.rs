//! Copies counters from a socket to an event.

use longwave_ebpf_abi::{Counters, flag, offsets::ABSENT};

use crate::{config::offset, socket::Socket};

/// Memory to read counters from. Fields that the kernel lacks read as 0.
pub trait CounterSource: Copy {
    fn u32(self, offset: u32) -> u32;
    fn u64(self, offset: u32) -> u64;
}

impl CounterSource for Socket {
    #[inline(always)]
    fn u32(self, offset: u32) -> u32 {
        self.load(offset)
    }

    #[inline(always)]
    fn u64(self, offset: u32) -> u64 {
        self.load(offset)
    }
}

/// Copy of a range of a socket's memory that contains all counters.
#[derive(Clone, Copy)]
pub struct SocketCopy {
    /// First byte of the copy.
    pub bytes: *const u8,
    /// Offset of that byte in the socket.
    pub start: u32,
}

impl CounterSource for SocketCopy {
    #[inline(always)]
    fn u32(self, offset: u32) -> u32 {
        if offset == ABSENT {
            return 0;
        }
        // SAFETY: the loader chose the range so that it contains every counter that the kernel has.
        unsafe { self.bytes.add((offset - self.start) as usize).cast::<u32>().read_volatile() }
    }

    #[inline(always)]
    fn u64(self, offset: u32) -> u64 {
        if offset == ABSENT {
            return 0;
        }
        // SAFETY: as in `u32`.
        unsafe { self.bytes.add((offset - self.start) as usize).cast::<u64>().read_volatile() }
    }
}

/// Fills in all counters and the padding, except the lifetime minimum of the round trip. Returns the current minimum.
///
/// # Safety
/// `counters` is valid for writes.
#[inline(always)]
pub unsafe fn fill(counters: *mut Counters, source: impl CounterSource) -> u32 {
    macro_rules! put {
        ($read:ident: $($field:ident)*) => {
            $((&raw mut (*counters).$field).write_volatile(source.$read(offset!($field)));)*
        };
    }
    // SAFETY: the pointers are to fields of the counters.
    unsafe {
        put!(u64: bytes_acked bytes_received bytes_sent bytes_retrans);
        put!(u32: write_seq snd_nxt snd_una rcv_nxt copied_seq segs_out segs_in data_segs_out data_segs_in);
        put!(u32: total_retrans lost delivered srtt_us mdev_us snd_cwnd mss_cache packets_out);
        put!(u32: rate_delivered rate_interval_us);
        let minimum = if offset!(rtt_min) == ABSENT { u32::MAX } else { source.u32(offset!(rtt_min)) };
        (&raw mut (*counters).rtt_min_us).write_volatile(minimum);
        (&raw mut (*counters)._pad).write_volatile(0);
        minimum
    }
}

/// Returns [`inexact_flags`] of a socket.
#[inline(always)]
pub fn inexact_flags_of(socket: Socket) -> u16 {
    inexact_flags(
        socket.load::<u64>(offset!(ulp_ops)),
        socket.load::<u8>(offset!(is_mptcp)),
        socket.load::<u64>(offset!(user_data)),
    )
}

/// Low bit of `sk_user_data` that is set if a sockmap owns the pointer.
const SK_USER_DATA_PSOCK: u64 = 4;

/// Returns the flags of a socket whose byte counts are not those of the application.
#[inline(always)]
pub fn inexact_flags(ulp: u64, mptcp: u8, user_data: u64) -> u16 {
    let mut flags = 0;
    if ulp != 0 {
        flags |= flag::ULP;
    }
    if mptcp != 0 {
        flags |= flag::MPTCP;
    }
    if user_data & SK_USER_DATA_PSOCK != 0 {
        flags |= flag::REDIRECTED;
    }
    flags
}
