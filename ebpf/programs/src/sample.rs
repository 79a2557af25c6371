//! `sample`: one visit per connection and pass, without a socket lock.
//!
//! User space runs this program over a range of slots at a time; it is never attached. While it runs, it holds its CPU. The socket may be
//! freed or reused meanwhile (TCP sockets live in memory that stays TCP sockets), and so may the slot: the cookie is compared after
//! reading the socket, and the key after reading and writing the entry.

use aya_ebpf::{
    cty::{c_long, c_void},
    helpers::generated::{bpf_ktime_get_ns, bpf_loop, bpf_probe_read_kernel},
};
use longwave_ebpf_abi::{
    BUCKET_KEYS, ConnectionEvent, Tracked, flag, kind,
    offsets::ABSENT,
    sample_context,
    settings::{COMMON_MAX, MOVED_MAX},
    tally::{Program, SAMPLE_RACED, SAMPLE_RING_FULL, VANISHED},
    tracked::Control,
};

use crate::{
    atomic,
    config::{offset, setting},
    counters::{self, Scratch, Source},
    maps::{self, SAMPLES, SCRATCH},
    socket::tcp,
    state::{Header, remembered},
    table::{self, Key, Keys, Slot, Table},
    tally::count,
    words,
};

/// Marks are read with the first samples and then with every sixteenth: they change at most once, early.
const MARKS_EARLY: u8 = 4;

/// An active open's entry is made in the tracepoint, just before the socket leaves CLOSE; an interrupt, or a host that takes the CPU
/// away, may come between. Only an entry that is older than this and still is in CLOSE has missed its close.
const OPENING_NS: i64 = 1_000_000_000;

/// What the visits of one run share.
struct Run {
    /// Index of the first bucket.
    first: u32,
    /// Slots that held a connection.
    visited: u32,
}

/// Visits the buckets that [`sample_context`] gives. Returns how many of their slots held a connection.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp/sample")]
pub extern "C" fn sample(context: *const u64) -> i32 {
    // SAFETY: the context has at least `sample_context::LEN` elements, and the callback takes a `Run`.
    unsafe {
        let mut run = Run { first: context.add(sample_context::FIRST).read_volatile() as u32, visited: 0 };
        let buckets = context.add(sample_context::COUNT).read_volatile() as u32;
        bpf_loop(buckets, visit as *mut c_void, (&raw mut run).cast(), 0);
        (&raw const run.visited).read_volatile() as i32
    }
}

/// One turn of the loop: one bucket.
extern "C" fn visit(turn: u32, run: *mut Run) -> c_long {
    // SAFETY: the run is on the stack of `sample`.
    unsafe {
        let index = (&raw const (*run).first).read_volatile().wrapping_add(turn);
        let Some(bucket) = Table.bucket(index) else { return 0 };
        // One after the other, since the verifier of 6.1 refuses a loop behind a helper call.
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

const _: () = assert!(BUCKET_KEYS == 8, "a turn visits each slot of a bucket");

/// Observes the connection of a slot. Returns how many connections it held.
#[inline(always)]
fn visit_slot(bucket: *mut u64, index: u32, way: u32) -> u32 {
    let key = Table.load(bucket, way);
    if key.address().is_none() {
        return 0;
    }
    observe_connection(key.0, index * BUCKET_KEYS + way)
}

/// A subprogram, since a turn has a call for each slot. Returns 1.
#[inline(never)]
extern "C" fn observe_connection(key: u64, index: u32) -> u32 {
    let slot = Slot::new(Key(key), index);
    if let Some(entry) = table::entry(index)
        && let Some(socket) = slot.key.address()
    {
        // SAFETY: the entry of the slot.
        unsafe { observe(socket, slot, entry) };
    }
    1
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

/// Emits a sample if the connection has moved since the last one, or is due a heartbeat.
///
/// # Safety
/// `entry` is the entry of `slot`, whose key was published for `socket`.
#[inline(always)]
unsafe fn observe(socket: u64, slot: Slot, entry: *mut Tracked) {
    // SAFETY: an entry of the table; helpers check the socket's address.
    unsafe {
        let cookie = (&raw const (*entry).cookie).read_volatile();
        let word = (&raw const (*entry).control).read_volatile();
        let control = Control::unpack(word);
        let moved = moved(socket);
        let known = &raw const (*entry).moved;
        let same = moved[0] == (&raw const (*known)[0]).read_volatile()
            && moved[1] == (&raw const (*known)[1]).read_volatile()
            && moved[2] == (&raw const (*known)[2]).read_volatile()
            && moved[3] == (&raw const (*known)[3]).read_volatile();
        let every = setting!(heartbeat_passes);
        let heartbeat = same && every != 0 && control.idle_passes.wrapping_add(1) >= every;

        let mut scratch = core::ptr::null_mut::<u8>();
        if !same || heartbeat {
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
            vanished(slot, entry);
            return;
        }
        if state == tcp::CLOSE {
            let generation = (&raw const (*entry).generation).read_volatile();
            if bpf_ktime_get_ns().wrapping_sub(generation) as i64 >= OPENING_NS {
                vanished(slot, entry);
            }
            return;
        }
        if state == tcp::SYN_SENT || state == tcp::SYN_RECV {
            return;
        }
        if scratch.is_null() {
            let idle_passes = control.idle_passes.saturating_add(1);
            // A single byte: should the slot be another connection's by now, its first heartbeat comes early.
            (&raw mut (*entry).control)
                .cast::<u8>()
                .add(Control::IDLE_PASSES_BYTE)
                .write_volatile(idle_passes);
            return;
        }

        let Some(event) = maps::reserve::<ConnectionEvent>(&SAMPLES) else {
            count(Program::Sample, SAMPLE_RING_FULL);
            return;
        };
        let from = Scratch { at: scratch, start: setting!(sample_start) };
        let mut flags = flag::ESTABLISHED | if heartbeat { flag::HEARTBEAT } else { 0 };
        let mut marks = 0;
        if control.samples < MARKS_EARLY || control.samples & 15 == 0 {
            marks = read_marks(socket);
            flags |= marks;
        }
        flags |= remembered(event, entry).flags;
        let mut header = Header::new(kind::SAMPLE, state, flags);
        header.sk_flags = common.field::<u64>(offset!(flags)) as u16;
        header.write(event);
        let minimum = counters::fill(&raw mut (*event).counters, from);
        let minimum = if minimum < control.rtt_min_us { minimum } else { control.rtt_min_us };
        (&raw mut (*event).counters.rtt_min_lifetime_us).write_volatile(minimum);
        // The source port was not chosen yet at SYN_SENT.
        if (&raw const (*event).tuple.local_port).read_volatile() == 0 {
            (&raw mut (*event).tuple.local_port).write_volatile(common.field::<u16>(offset!(num)));
        }
        let next = Control {
            rtt_min_us: minimum,
            flags: control.flags | marks,
            idle_passes: 0,
            samples: control.samples.wrapping_add(1),
        };
        let moved = [
            from.u32(offset!(rcv_nxt)),
            from.u32(offset!(snd_nxt)),
            from.u32(offset!(snd_una)),
            from.u32(offset!(delivered)),
        ];
        if update(slot, entry, word, next.pack(), moved) {
            maps::submit_sample(event);
        } else {
            count(Program::Sample, SAMPLE_RACED);
            maps::discard(event);
        }
    }
}

/// Writes what a sample has seen into the entry. Returns false if the slot has become another connection's since its key was read: then
/// what was written there is taken back.
///
/// # Safety
/// `entry` is the entry of `slot`.
#[inline(always)]
unsafe fn update(slot: Slot, entry: *mut Tracked, old: u64, new: u64, moved: [u32; 4]) -> bool {
    // SAFETY: an entry of the table.
    unsafe {
        let known = &raw mut (*entry).moved;
        (&raw mut (*known)[0]).write_volatile(moved[0]);
        (&raw mut (*known)[1]).write_volatile(moved[1]);
        (&raw mut (*known)[2]).write_volatile(moved[2]);
        (&raw mut (*known)[3]).write_volatile(moved[3]);
        // Its barrier also keeps the key from being read before the words above are written.
        let control = &raw mut (*entry).control;
        let replaced = atomic::compare_exchange(control, old, new) == old;
        if replaced && table::is_unchanged(Table, slot) {
            return true;
        }
        if replaced {
            atomic::compare_exchange(control, new, old);
        }
        // Nothing moved yet: the other connection's next sample is emitted in any case.
        known.cast::<u64>().write_volatile(0);
        known.cast::<u64>().add(1).write_volatile(0);
        false
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

/// The entry's socket is closed, or another connection's: the close was missed. Reports it, unless a close that was handled meanwhile has
/// taken the slot.
///
/// # Safety
/// `entry` is the entry of `slot`.
#[inline(always)]
unsafe fn vanished(slot: Slot, entry: *mut Tracked) {
    let Some(event) = maps::reserve::<ConnectionEvent>(&SAMPLES) else {
        count(Program::Sample, SAMPLE_RING_FULL);
        return;
    };
    // SAFETY: an entry of the table, room for one event.
    unsafe {
        words::zero(event);
        let control = remembered(event, entry);
        Header::new(kind::VANISHED, tcp::CLOSE, control.flags).write(event);
        if !table::take(Table, slot) {
            maps::discard(event);
            return;
        }
        count(Program::Sample, VANISHED);
        maps::submit_sample(event);
    }
}
