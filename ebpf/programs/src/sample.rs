//! `sample`: observes each connection once per pass, without a socket lock.
//!
//! User space runs the program over a range of buckets at a time. It is never attached. It cannot be preempted while it runs. The kernel
//! may free or reuse the socket meanwhile, and other programs the slot. Memory of a TCP socket is only reused for TCP sockets. So the
//! program compares the cookie after it has read the socket, and the key after it has read and written the entry.

use aya_ebpf::{
    cty::{c_long, c_void},
    helpers::generated::{bpf_ktime_get_ns, bpf_loop, bpf_probe_read_kernel},
};
use longwave_ebpf_abi::{
    BUCKET_KEYS, ConnectionEvent, TableEntry,
    entry::ControlWord,
    flag, kind,
    offsets::ABSENT,
    sample_context,
    settings::{MAX_COMMON_LEN, MAX_PROGRESS_LEN},
    tally::{Program, SAMPLE_RACED, SAMPLE_RING_FULL, VANISHED},
};

use crate::{
    atomic,
    config::{offset, setting},
    counters::{self, Chrono, CounterSource, SocketCopy},
    maps::{self, SAMPLE_BUFFER, SAMPLES},
    socket::tcp,
    state::{Header, copy_entry},
    table::{self, Key, Keys, Slot, Table},
    tally::count,
    words,
};

/// Number of samples, from the first on, that read the inexact flags of a connection, its pacing rate and its congestion control. After them
/// every sixteenth sample does. The flags and the congestion control change at most once, soon after the open. Each of them is in another
/// cache line.
const FIRST_SAMPLES: u8 = 4;

/// Age from which a connection that was never established has missed its close if its socket is in CLOSE, in ns.
///
/// The tracepoint of an active open enters the connection into the table just before the socket leaves CLOSE. The process may be preempted
/// at that moment, and wait for seconds if its CPU share is low.
const MAX_OPENING_NS: i64 = 60_000_000_000;

/// State of one run of the program.
struct SampleRun {
    /// Index of the first bucket.
    first: u32,
    /// Number of connections visited so far.
    visited: u32,
}

/// Visits the buckets that [`sample_context`] specifies. Returns the number of connections in them.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp/sample")]
pub extern "C" fn sample(context: *const u64) -> i32 {
    // SAFETY: the context has at least `sample_context::LEN` elements, and the callback takes a `SampleRun`.
    unsafe {
        let mut run =
            SampleRun { first: context.add(sample_context::FIRST).read_volatile() as u32, visited: 0 };
        let buckets = context.add(sample_context::COUNT).read_volatile() as u32;
        bpf_loop(buckets, visit as *mut c_void, (&raw mut run).cast(), 0);
        (&raw const run.visited).read_volatile() as i32
    }
}

/// Visits one bucket. `bpf_loop` calls it with the number of the iteration.
extern "C" fn visit(iteration: u32, run: *mut SampleRun) -> c_long {
    // SAFETY: the run is on the stack of `sample`.
    unsafe {
        let index = (&raw const (*run).first).read_volatile().wrapping_add(iteration);
        let Some(bucket) = Table.bucket(index) else { return 0 };
        // Unrolled, because the verifier of 6.1 refuses a loop after a helper call.
        let mut visited = visit_slot(bucket, index, 0);
        visited += visit_slot(bucket, index, 1);
        visited += visit_slot(bucket, index, 2);
        visited += visit_slot(bucket, index, 3);
        visited += visit_slot(bucket, index, 4);
        visited += visit_slot(bucket, index, 5);
        visited += visit_slot(bucket, index, 6);
        visited += visit_slot(bucket, index, 7);
        (&raw mut (*run).visited).write_volatile((&raw const (*run).visited).read_volatile() + visited);
    }
    0
}

const _: () = assert!(BUCKET_KEYS == 8, "`visit` has a call for each slot of a bucket");

/// Observes the connection of a slot. Returns 1, or 0 if the slot is not published.
#[inline(always)]
fn visit_slot(bucket: *mut u64, index: u32, way: u32) -> u32 {
    let key = Table.load(bucket, way);
    if key.address().is_none() {
        return 0;
    }
    observe_connection(key.0, index * BUCKET_KEYS + way)
}

/// Observes the connection of a published slot. Returns 1.
///
/// This is a global function, which the verifier checks once, for any arguments. It would check a static one at each of the calls in `visit`,
/// and the kernel refuses a program that takes it too long.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn observe_connection(key: u64, index: u32) -> u32 {
    let slot = Slot::new(Key(key), index);
    if let Some(entry) = table::entry(index)
        && let Some(socket) = slot.key.address()
    {
        // SAFETY: `entry` is the entry of the slot.
        unsafe { observe(socket, slot, entry) };
    }
    1
}

/// Copy of the range of `sock_common` that contains ports, state, cookie and flags.
struct CommonCopy([u64; MAX_COMMON_LEN as usize / 8]);

impl CommonCopy {
    #[inline(always)]
    fn field<T: Copy>(&self, offset: u32) -> T {
        // SAFETY: the loader chose the range so that it contains the fields that are read here.
        unsafe {
            (&raw const self.0)
                .cast::<u8>()
                .add((offset - setting!(common_start)) as usize)
                .cast::<T>()
                .read_volatile()
        }
    }
}

/// Emits a sample if the connection made progress since the last one, if it waited at the last one, or if a heartbeat is due.
///
/// # Safety
/// `entry` is the entry of `slot`, whose key was published for `socket`.
#[inline(always)]
unsafe fn observe(socket: u64, slot: Slot, entry: *mut TableEntry) {
    // SAFETY: `entry` is an entry of the table. The helpers check the socket's address.
    unsafe {
        let cookie = (&raw const (*entry).cookie).read_volatile();
        let word = (&raw const (*entry).control).read_volatile();
        let control = ControlWord::unpack(word);
        let progress = read_progress(socket);
        let last = &raw const (*entry).progress;
        let is_idle = control.flags & flag::WAITING == 0
            && progress[0] == (&raw const (*last)[0]).read_volatile()
            && progress[1] == (&raw const (*last)[1]).read_volatile()
            && progress[2] == (&raw const (*last)[2]).read_volatile()
            && progress[3] == (&raw const (*last)[3]).read_volatile();
        let heartbeat_passes = setting!(heartbeat_passes);
        let is_heartbeat =
            is_idle && heartbeat_passes != 0 && control.idle_passes.wrapping_add(1) >= heartbeat_passes;

        let now = counters::jiffies();
        let mut copy = core::ptr::null_mut::<u8>();
        if !is_idle || is_heartbeat {
            let Some(buffer) = SAMPLE_BUFFER.get_ptr_mut(0) else { return };
            copy = buffer.cast();
            if bpf_probe_read_kernel(copy.cast(), setting!(sample_len), at(socket, setting!(sample_start)))
                != 0
            {
                return;
            }
        }
        let mut common = core::mem::MaybeUninit::<CommonCopy>::uninit();
        let length = setting!(common_len);
        if bpf_probe_read_kernel(common.as_mut_ptr().cast(), length, at(socket, setting!(common_start))) != 0
        {
            return;
        }
        let common = &*common.as_ptr();
        let state: u8 = common.field(offset!(state));
        if common.field::<u64>(offset!(cookie)) != cookie {
            report_vanished(slot, entry);
            return;
        }
        if state == tcp::CLOSE {
            let generation = (&raw const (*entry).generation).read_volatile();
            if control.flags & flag::ESTABLISHED != 0
                || bpf_ktime_get_ns().wrapping_sub(generation) as i64 >= MAX_OPENING_NS
            {
                report_vanished(slot, entry);
            }
            return;
        }
        if state == tcp::SYN_SENT || state == tcp::SYN_RECV {
            return;
        }
        if copy.is_null() {
            let idle_passes = control.idle_passes.saturating_add(1);
            // This writes a single byte, so that it only advances a heartbeat if the slot is another connection's by now.
            (&raw mut (*entry).control)
                .cast::<u8>()
                .add(ControlWord::IDLE_PASSES_BYTE)
                .write_volatile(idle_passes);
            return;
        }

        let Some(event) = maps::reserve::<ConnectionEvent>(&SAMPLES) else {
            count(Program::Sample, SAMPLE_RING_FULL);
            return;
        };
        let counters = SocketCopy { bytes: copy, start: setting!(sample_start) };
        let mut flags = flag::ESTABLISHED | flag::LIMITS | if is_heartbeat { flag::HEARTBEAT } else { 0 };
        let mut inexact_flags = 0;
        let (mut pacing_rate, mut ca_ops) = (0u64, 0u64);
        if control.samples < FIRST_SAMPLES || control.samples & 15 == 0 {
            inexact_flags = read_inexact_flags(socket);
            flags |= inexact_flags;
            if offset!(pacing_rate) != ABSENT {
                bpf_probe_read_kernel((&raw mut pacing_rate).cast(), 8, at(socket, offset!(pacing_rate)));
            }
            if offset!(ca_ops) != ABSENT {
                bpf_probe_read_kernel((&raw mut ca_ops).cast(), 8, at(socket, offset!(ca_ops)));
            }
        }
        counters::fill_rare_limits(&raw mut (*event).limits, pacing_rate, ca_ops);
        flags |= copy_entry(event, entry).flags;
        let mut header = Header::new(kind::SAMPLE, state, flags);
        header.sk_flags = common.field::<u64>(offset!(flags)) as u16;
        header.write(event);
        let chrono =
            Chrono::of(counters, now).confirmed(counters, || read_word(socket, offset!(chrono_start)));
        counters::fill_limits(&raw mut (*event).limits, counters, chrono);
        let minimum = counters::fill(&raw mut (*event).counters, counters);
        let minimum = if minimum < control.rtt_min_us { minimum } else { control.rtt_min_us };
        (&raw mut (*event).counters.rtt_min_lifetime_us).write_volatile(minimum);
        // The kernel had not chosen the local port yet at SYN_SENT.
        if (&raw const (*event).tuple.local_port).read_volatile() == 0 {
            (&raw mut (*event).tuple.local_port).write_volatile(common.field::<u16>(offset!(num)));
        }
        let is_waiting = counters.u32(offset!(write_seq)) != counters.u32(offset!(snd_una))
            || (offset!(snd_wnd) != ABSENT && counters.u32(offset!(snd_wnd)) == 0);
        let waiting_flag = if is_waiting { flag::WAITING } else { 0 };
        let next = ControlWord {
            rtt_min_us: minimum,
            flags: (control.flags & !flag::WAITING) | inexact_flags | waiting_flag,
            idle_passes: 0,
            samples: control.samples.wrapping_add(1),
        };
        let progress = [
            counters.u32(offset!(rcv_nxt)),
            counters.u32(offset!(snd_nxt)),
            counters.u32(offset!(snd_una)),
            counters.u32(offset!(delivered)),
        ];
        if update(slot, entry, word, next.pack(), progress) {
            maps::submit_sample(event);
        } else {
            count(Program::Sample, SAMPLE_RACED);
            maps::discard(event);
        }
    }
}

/// Writes progress and control word of a sample into the entry.
///
/// If the slot was reused for another connection since its key was read, resets what it wrote and returns false.
///
/// # Safety
/// `entry` is the entry of `slot`.
#[inline(always)]
unsafe fn update(slot: Slot, entry: *mut TableEntry, old: u64, new: u64, progress: [u32; 4]) -> bool {
    // SAFETY: `entry` is an entry of the table.
    unsafe {
        let last = &raw mut (*entry).progress;
        (&raw mut (*last)[0]).write_volatile(progress[0]);
        (&raw mut (*last)[1]).write_volatile(progress[1]);
        (&raw mut (*last)[2]).write_volatile(progress[2]);
        (&raw mut (*last)[3]).write_volatile(progress[3]);
        // The barrier of the compare-and-swap also keeps the key from being read before the words above are written.
        let control = &raw mut (*entry).control;
        let replaced = atomic::compare_exchange(control, old, new) == old;
        if replaced && table::is_unchanged(Table, slot) {
            return true;
        }
        if replaced {
            atomic::compare_exchange(control, new, old);
        }
        // Zeros differ from any progress, so that the next pass emits a sample of the other connection.
        last.cast::<u64>().write_volatile(0);
        last.cast::<u64>().add(1).write_volatile(0);
        false
    }
}

/// Returns the address of a socket's field.
#[inline(always)]
fn at(socket: u64, offset: u32) -> *const c_void {
    (socket + u64::from(offset)) as *const c_void
}

/// Reads `rcv_nxt`, `snd_nxt`, `snd_una` and `delivered`, of which one changes with any activity. Takes one read if they are close
/// together.
#[inline(always)]
unsafe fn read_progress(socket: u64) -> [u32; 4] {
    let length = setting!(progress_len);
    // SAFETY: the helper checks the address. The loader chose the range so that it contains the four fields.
    unsafe {
        if length != 0 {
            let mut range = core::mem::MaybeUninit::<[u64; MAX_PROGRESS_LEN as usize / 8]>::uninit();
            let start = setting!(progress_start);
            bpf_probe_read_kernel(range.as_mut_ptr().cast(), length, at(socket, start));
            let field = |offset: u32| {
                range.as_ptr().cast::<u8>().add((offset - start) as usize).cast::<u32>().read_volatile()
            };
            [
                field(offset!(rcv_nxt)),
                field(offset!(snd_nxt)),
                field(offset!(snd_una)),
                field(offset!(delivered)),
            ]
        } else {
            [
                read_word(socket, offset!(rcv_nxt)),
                read_word(socket, offset!(snd_nxt)),
                read_word(socket, offset!(snd_una)),
                read_word(socket, offset!(delivered)),
            ]
        }
    }
}

/// Reads a field of 4 bytes. Returns 0 if it cannot be read.
#[inline(always)]
fn read_word(socket: u64, offset: u32) -> u32 {
    let mut value = 0u32;
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel((&raw mut value).cast(), 4, at(socket, offset)) };
    value
}

/// Reads the fields of the inexact flags, which are not in the sampled range.
#[inline(always)]
unsafe fn read_inexact_flags(socket: u64) -> u16 {
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
    counters::inexact_flags(ulp, mptcp, user_data)
}

/// Removes the entry of a connection whose close was missed, and reports it as vanished. Reports nothing if another program has claimed or
/// removed the slot meanwhile.
///
/// # Safety
/// `entry` is the entry of `slot`.
#[inline(always)]
unsafe fn report_vanished(slot: Slot, entry: *mut TableEntry) {
    let Some(event) = maps::reserve_short(&SAMPLES) else {
        count(Program::Sample, SAMPLE_RING_FULL);
        return;
    };
    // SAFETY: `entry` is an entry of the table, `event` a reserved record.
    unsafe {
        words::zero(event.cast::<maps::ShortEvent>());
        let control = copy_entry(event, entry);
        Header::new(kind::VANISHED, tcp::CLOSE, control.flags).write(event);
        if !table::remove(Table, slot) {
            maps::discard(event);
            return;
        }
        count(Program::Sample, VANISHED);
        maps::submit_sample(event);
    }
}
