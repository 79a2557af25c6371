//! `sample`: one visit per connection and pass, without a socket lock.
//!
//! Reading user space calls this for each entry of the connection table. The socket may be freed or reused meanwhile (TCP
//! sockets live in memory that stays TCP sockets), and so may the entry: both are checked by their cookie after reading.

use aya_ebpf::{
    cty::c_void,
    helpers::generated::{bpf_ktime_get_ns, bpf_probe_read_kernel, bpf_seq_write},
};
use longwave_ebpf_abi::{
    ConnectionEvent, Tracked, flag, kind,
    offsets::ABSENT,
    settings::{COMMON_MAX, MOVED_MAX},
    tally::{REMOVED, SAMPLE_RACED, SAMPLE_RING_FULL, VANISHED},
    tracked::internal,
};

use crate::{
    config::{offset, setting},
    counters::{self, Scratch, Source},
    maps::{self, SAMPLES, SCRATCH},
    owner::Pointer,
    socket::{load, tcp},
    state::{Header, remembered},
    tally::count,
    words,
};

/// Marks are read with the first samples and then with every sixteenth: they change at most once, early.
const MARKS_EARLY: u8 = 4;

/// An active open's entry is made in the tracepoint, just before the socket leaves CLOSE; an interrupt, or a host that takes the CPU
/// away, may come between. Only an entry that is older than this and still is in CLOSE has missed its close.
const OPENING_NS: i64 = 1_000_000_000;

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_map_elem")]
pub extern "C" fn sample(context: *const *const u8) -> i32 {
    // SAFETY: the iterator's context: meta, map, key, value.
    unsafe {
        let key = context.add(2).read_volatile().cast::<u64>();
        let value = context.add(3).read_volatile().cast_mut().cast::<Tracked>();
        if key.is_null() || value.is_null() {
            return 0;
        }
        visit(context.read_volatile(), key, value);
    }
    0
}

/// Identity of the socket as it is now: the span of `sock_common` that holds it.
struct Common([u64; COMMON_MAX as usize / 8]);

impl Common {
    #[inline(always)]
    fn field<T: Copy>(&self, offset: u32) -> T {
        // SAFETY: the loader set the span so that it holds the fields read here.
        unsafe {
            (&raw const self.0)
                .cast::<u8>()
                .add((offset - setting!(common_start)) as usize)
                .cast::<T>()
                .read_volatile()
        }
    }
}

/// # Safety
/// Arguments are the iterator's.
#[inline(always)]
unsafe fn visit(meta: *const u8, key: *const u64, value: *mut Tracked) {
    // SAFETY: an entry of the table, a socket's address, the iterator's sequence file.
    unsafe {
        let socket = key.read_volatile();
        let cookie = (&raw const (*value).cookie).read_volatile();
        let generation = (&raw const (*value).generation).read_volatile();
        let idle_passes = (&raw const (*value).idle_passes).read_volatile();
        let moved = moved(socket);
        let known = &raw const (*value).moved;
        let same = moved[0] == (&raw const (*known)[0]).read_volatile()
            && moved[1] == (&raw const (*known)[1]).read_volatile()
            && moved[2] == (&raw const (*known)[2]).read_volatile()
            && moved[3] == (&raw const (*known)[3]).read_volatile();
        let every = setting!(heartbeat_passes);
        let heartbeat = same && every != 0 && idle_passes.wrapping_add(1) >= every;

        let mut scratch = core::ptr::null_mut::<u8>();
        let start = setting!(sample_start);
        let sequence: *mut c_void = load::<Pointer>(meta, 0).0.cast_mut().cast();
        if !same || heartbeat {
            // Before anything is emitted: what does not fit is visited again in the next read.
            if bpf_seq_write(sequence.cast(), (&raw const socket).cast(), 8) != 0 {
                return;
            }
            let Some(room) = SCRATCH.get_ptr_mut(0) else { return };
            scratch = room.cast();
            if bpf_probe_read_kernel(scratch.cast(), setting!(sample_len), at(socket, setting!(sample_start)))
                != 0
            {
                return;
            }
        }
        let mut room = core::mem::MaybeUninit::<Common>::uninit();
        let length = setting!(common_len);
        if bpf_probe_read_kernel(room.as_mut_ptr().cast(), length, at(socket, setting!(common_start))) != 0 {
            return;
        }
        let common = &*room.as_ptr();
        let state: u8 = common.field(offset!(state));
        if common.field::<u64>(offset!(cookie)) != cookie {
            vanished(socket, cookie, value);
            return;
        }
        if state == tcp::CLOSE {
            if bpf_ktime_get_ns().wrapping_sub(generation) as i64 >= OPENING_NS {
                vanished(socket, cookie, value);
            }
            return;
        }
        if state == tcp::SYN_SENT || state == tcp::SYN_RECV {
            return;
        }
        if scratch.is_null() {
            (&raw mut (*value).idle_passes).write_volatile(idle_passes.saturating_add(1));
            // Idle ones too bound the length of a read: one in eight, by the hash of its address.
            if socket.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61 == 0 {
                bpf_seq_write(sequence.cast(), (&raw const socket).cast(), 8);
            }
            return;
        }

        let Some(event) = maps::reserve::<ConnectionEvent>(&SAMPLES) else {
            count(SAMPLE_RING_FULL);
            return;
        };
        let from = Scratch { at: scratch, start };
        let mut flags = flag::ESTABLISHED | if heartbeat { flag::HEARTBEAT } else { 0 };
        let samples = (&raw const (*value).samples).read_volatile();
        let mut marks = 0;
        if samples < MARKS_EARLY || samples & 15 == 0 {
            marks = read_marks(socket);
            flags |= marks;
        }
        flags |= remembered(event, value);
        let mut header = Header::new(kind::SAMPLE, state, flags);
        header.sk_flags = common.field::<u64>(offset!(flags)) as u16;
        header.write(event);
        let minimum = counters::fill(&raw mut (*event).counters, from);
        let lifetime = (&raw const (*value).rtt_min_lifetime_us).read_volatile();
        let lifetime = if minimum < lifetime { minimum } else { lifetime };
        (&raw mut (*event).counters.rtt_min_lifetime_us).write_volatile(lifetime);
        let port = (&raw const (*value).tuple.local_port).read_volatile();
        if port == 0 {
            (&raw mut (*event).tuple.local_port).write_volatile(common.field::<u16>(offset!(num)));
        }

        // The entry may have become another connection's: then what was read of it is mixed.
        if key.read_volatile() != socket
            || (&raw const (*value).cookie).read_volatile() != cookie
            || (&raw const (*value).generation).read_volatile() != generation
        {
            count(SAMPLE_RACED);
            maps::discard(event);
            return;
        }
        let known = &raw mut (*value).moved;
        (&raw mut (*known)[0]).write_volatile(from.u32(offset!(rcv_nxt)));
        (&raw mut (*known)[1]).write_volatile(from.u32(offset!(snd_nxt)));
        (&raw mut (*known)[2]).write_volatile(from.u32(offset!(snd_una)));
        (&raw mut (*known)[3]).write_volatile(from.u32(offset!(delivered)));
        (&raw mut (*value).rtt_min_lifetime_us).write_volatile(lifetime);
        (&raw mut (*value).idle_passes).write_volatile(0);
        (&raw mut (*value).samples).write_volatile(samples.wrapping_add(1));
        if marks != 0 {
            let flags = (&raw const (*value).flags).read_volatile();
            (&raw mut (*value).flags).write_volatile(flags | marks);
        }
        if port == 0 {
            (&raw mut (*value).tuple.local_port).write_volatile(common.field::<u16>(offset!(num)));
        }
        maps::submit_sample(event);
    }
}

#[inline(always)]
fn at(socket: u64, offset: u32) -> *const c_void {
    (socket + u64::from(offset)) as *const c_void
}

/// The four fields of which one changes whenever anything happens: `rcv_nxt`, `snd_nxt`, `snd_una`, `delivered`. One read
/// where they lie together.
#[inline(always)]
unsafe fn moved(socket: u64) -> [u32; 4] {
    let length = setting!(moved_len);
    // SAFETY: the helper checks the address; the loader set the span so that it holds the four fields.
    unsafe {
        if length != 0 {
            let mut room = core::mem::MaybeUninit::<[u64; MOVED_MAX as usize / 8]>::uninit();
            let start = setting!(moved_start);
            bpf_probe_read_kernel(room.as_mut_ptr().cast(), length, at(socket, start));
            let field = |offset: u32| {
                room.as_ptr().cast::<u8>().add((offset - start) as usize).cast::<u32>().read_volatile()
            };
            [
                field(offset!(rcv_nxt)),
                field(offset!(snd_nxt)),
                field(offset!(snd_una)),
                field(offset!(delivered)),
            ]
        } else {
            [
                word(socket, offset!(rcv_nxt)),
                word(socket, offset!(snd_nxt)),
                word(socket, offset!(snd_una)),
                word(socket, offset!(delivered)),
            ]
        }
    }
}

#[inline(always)]
fn word(socket: u64, offset: u32) -> u32 {
    let mut value = 0u32;
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel((&raw mut value).cast(), 4, at(socket, offset)) };
    value
}

/// What makes the byte counts something else than the application's; not within the sampled range.
#[inline(always)]
unsafe fn read_marks(socket: u64) -> u16 {
    let (mut ulp, mut user_data, mut mptcp) = (0u64, 0u64, 0u8);
    // SAFETY: the helper checks the addresses.
    unsafe {
        if offset!(ulp_ops) != ABSENT {
            bpf_probe_read_kernel((&raw mut ulp).cast(), 8, at(socket, offset!(ulp_ops)));
        }
        if offset!(user_data) != ABSENT {
            bpf_probe_read_kernel((&raw mut user_data).cast(), 8, at(socket, offset!(user_data)));
        }
        if offset!(is_mptcp) != ABSENT {
            bpf_probe_read_kernel((&raw mut mptcp).cast(), 1, at(socket, offset!(is_mptcp)));
        }
    }
    counters::marks(ulp, mptcp, user_data)
}

/// An entry whose socket is closed or another connection's. Deleting is claiming: a close that was handled meanwhile has
/// deleted it.
///
/// # Safety
/// `value` is an entry of the table.
#[inline(always)]
unsafe fn vanished(socket: u64, cookie: u64, value: *mut Tracked) {
    // The visited entry may be deleted and a new connection's in its place in the table.
    let Some(current) = maps::entry(socket) else { return };
    // SAFETY: entries of the table, room for one event.
    unsafe {
        if (&raw const (*current).cookie).read_volatile() != cookie {
            return;
        }
        if (&raw const (*value).flags).read_volatile() & internal::CLAIMED != 0 {
            if maps::remove(socket) == 0 {
                count(REMOVED);
            }
            return;
        }
        let Some(event) = maps::reserve::<ConnectionEvent>(&SAMPLES) else {
            count(SAMPLE_RING_FULL);
            return;
        };
        words::zero(event);
        let flags = remembered(event, value);
        Header::new(kind::VANISHED, tcp::CLOSE, flags).write(event);
        if (&raw const (*event).cookie).read_volatile() != cookie || maps::remove(socket) != 0 {
            maps::discard(event);
            return;
        }
        count(REMOVED);
        count(VANISHED);
        maps::submit_sample(event);
    }
}
