//! Copies counters from a socket to an event.

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_probe_read_kernel};
use longwave_ebpf_abi::{Counters, LimitCounters, flag, offsets::ABSENT};

use crate::{config::offset, socket::Socket};

/// Memory to read counters from. Fields that the kernel lacks read as 0.
pub trait CounterSource: Copy {
    fn u8(self, offset: u32) -> u8;
    fn u16(self, offset: u32) -> u16;
    fn u32(self, offset: u32) -> u32;
    fn u64(self, offset: u32) -> u64;
}

impl CounterSource for Socket {
    #[inline(always)]
    fn u8(self, offset: u32) -> u8 {
        self.load(offset)
    }

    #[inline(always)]
    fn u16(self, offset: u32) -> u16 {
        self.load(offset)
    }

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

impl SocketCopy {
    #[inline(always)]
    fn load<T: Copy + Default>(self, offset: u32) -> T {
        if offset == ABSENT {
            return T::default();
        }
        // SAFETY: the loader chose the range so that it contains every counter that the kernel has.
        unsafe { self.bytes.add((offset - self.start) as usize).cast::<T>().read_volatile() }
    }
}

impl CounterSource for SocketCopy {
    #[inline(always)]
    fn u8(self, offset: u32) -> u8 {
        self.load(offset)
    }

    #[inline(always)]
    fn u16(self, offset: u32) -> u16 {
        self.load(offset)
    }

    #[inline(always)]
    fn u32(self, offset: u32) -> u32 {
        self.load(offset)
    }

    #[inline(always)]
    fn u64(self, offset: u32) -> u64 {
        self.load(offset)
    }
}

/// Values of `chrono_type`, less one the indices of `chrono_stat`.
mod chrono {
    pub const NONE: u8 = 0;
    pub const BUSY: u8 = 1;
    pub const PEER_WINDOW: u8 = 2;
    pub const SEND_BUFFER: u8 = 3;
}

/// What a connection waits for, and since when.
#[derive(Clone, Copy)]
pub struct Chrono {
    /// One of [`chrono`].
    kind: u8,
    /// Time since the last change, in jiffies.
    elapsed: u32,
}

impl Chrono {
    /// Reads it. `now` is the time in jiffies, read before the counters: the kernel may end the interval right after they were read, and a
    /// later time would then be more than what it counts.
    #[inline(always)]
    pub fn of(source: impl CounterSource, now: u32) -> Self {
        if offset!(chrono_type) == ABSENT || offset!(chrono_start) == ABSENT {
            return Self { kind: chrono::NONE, elapsed: 0 };
        }
        let kind = source.u8(offset!(chrono_type) >> 3) >> (offset!(chrono_type) & 7) & 3;
        let elapsed = now.wrapping_sub(source.u32(offset!(chrono_start)));
        if elapsed as i32 > 0 { Self { kind, elapsed } } else { Self { kind, elapsed: 0 } }
    }

    /// Sets the elapsed time to 0 if the interval ended while it was read. The kernel adds it to the sums first and sets the start then, so
    /// that it could be counted twice. `start` reads the start again.
    #[inline(always)]
    pub fn confirmed(self, source: impl CounterSource, start: impl FnOnce() -> u32) -> Self {
        // An interval of a jiffy or less does no harm.
        if self.kind == chrono::NONE || self.elapsed < 2 || start() == source.u32(offset!(chrono_start)) {
            self
        } else {
            Self { elapsed: 0, ..self }
        }
    }

    #[inline(always)]
    fn elapsed(self, kind: u8) -> u32 {
        if self.kind == kind { self.elapsed } else { 0 }
    }
}

/// Returns the time in jiffies, with the 32 bits that the kernel's TCP uses.
#[inline(always)]
pub fn jiffies() -> u32 {
    // SAFETY: the helper has no arguments.
    unsafe { bpf_jiffies64() as u32 }
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

/// Returns whether a counter of what limits a connection is not 0.
#[inline(always)]
pub fn has_limits(source: impl CounterSource) -> bool {
    let times = if offset!(chrono_stat) == ABSENT || offset!(chrono_type) == ABSENT {
        0
    } else {
        let stat = |index: u32| source.u32(offset!(chrono_stat) + index * 4);
        let kind = source.u8(offset!(chrono_type) >> 3) >> (offset!(chrono_type) & 7) & 3;
        stat(0) | stat(1) | stat(2) | kind as u32
    };
    let counts = source.u32(offset!(rcv_ooopack))
        | source.u32(offset!(dsack_dups))
        | source.u32(offset!(delivered_ce))
        | source.u16(offset!(total_rto)) as u32;
    times | counts != 0
}

/// Fills in what limits a connection, except what [`fill_rare_limits`] does.
///
/// # Safety
/// `limits` is valid for writes.
#[inline(always)]
pub unsafe fn fill_limits(limits: *mut LimitCounters, source: impl CounterSource, chrono: Chrono) {
    macro_rules! put {
        ($($field:ident)*) => {
            $((&raw mut (*limits).$field).write_volatile(source.u32(offset!($field)));)*
        };
    }
    // SAFETY: the pointers are to fields of the limits.
    unsafe {
        put!(rcv_ooopack dsack_dups delivered_ce rcv_rtt_us snd_ssthresh snd_wnd);
        let sum = |kind: u8| {
            if offset!(chrono_stat) == ABSENT {
                return 0;
            }
            let ended = source.u32(offset!(chrono_stat) + (kind as u32 - 1) * 4);
            ended.wrapping_add(chrono.elapsed(kind))
        };
        (&raw mut (*limits).busy_jiffies).write_volatile(sum(chrono::BUSY));
        (&raw mut (*limits).peer_window_jiffies).write_volatile(sum(chrono::PEER_WINDOW));
        (&raw mut (*limits).send_buffer_jiffies).write_volatile(sum(chrono::SEND_BUFFER));
        (&raw mut (*limits).total_rto).write_volatile(source.u16(offset!(total_rto)) as u32);
    }
}

/// Fills in what only some samples read: the pacing rate, and the name of the congestion control, whose operations are at `ca_ops`.
///
/// # Safety
/// `limits` is valid for writes.
#[inline(always)]
pub unsafe fn fill_rare_limits(limits: *mut LimitCounters, pacing_rate: u64, ca_ops: u64) {
    // SAFETY: the pointers are to fields of the limits. The helper checks the address that it reads.
    unsafe {
        (&raw mut (*limits).pacing_rate).write_volatile(pacing_rate);
        let name = (&raw mut (*limits).congestion_control).cast::<u64>();
        name.write_volatile(0);
        name.add(1).write_volatile(0);
        if ca_ops != 0 && offset!(ca_name) != ABSENT {
            bpf_probe_read_kernel(name.cast(), 16, (ca_ops + u64::from(offset!(ca_name))) as *const _);
        }
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
