//! The maps, other than the connection table's. Sizes given here are placeholders: the loader sets them.

use aya_ebpf::{
    cty::c_void,
    helpers::generated::{
        bpf_map_delete_elem, bpf_map_lookup_elem, bpf_map_update_elem, bpf_ringbuf_discard,
        bpf_ringbuf_query, bpf_ringbuf_reserve, bpf_ringbuf_submit,
    },
    macros::map,
    maps::{Array, LruHashMap, PerCpuArray, RingBuf},
};
use longwave_ebpf_abi::{
    Signals,
    settings::SAMPLE_MAX,
    tally::{COUNT, PROGRAMS, Program},
};

use crate::{atomic, config::setting, table::Slot};

/// Opens, closes, listens. Apart from samples, so that those never crowd out a close.
#[map(name = "transitions")]
pub static TRANSITIONS: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// Samples.
#[map(name = "samples")]
pub static SAMPLES: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// What user space asks for.
#[map(name = "signals")]
pub static SIGNALS: Array<Signals> = Array::with_max_entries(1, MMAPABLE);

/// What was lost, and other counts, by [`Program`](longwave_ebpf_abi::tally::Program).
#[map(name = "tallies")]
pub static TALLIES: PerCpuArray<[u64; COUNT]> = PerCpuArray::with_max_entries(PROGRAMS, 0);

/// One bit per port in scope.
#[map(name = "port_scope")]
pub static PORT_SCOPE: Array<[u64; 1024]> = Array::with_max_entries(1, 0);

/// Listening sockets already reported, by cookie: the namespace walk reports only those that no process holds.
#[map(name = "listeners")]
pub static LISTENERS: LruHashMap<u64, u32> = LruHashMap::with_max_entries(16_384, 0);

/// Memory of the programs that run on a CPU.
#[map(name = "local")]
pub static LOCAL: PerCpuArray<Local> = PerCpuArray::with_max_entries(1, 0);

/// Where a sample copies the socket's counters to.
#[map(name = "scratch")]
pub static SCRATCH: PerCpuArray<[u64; SAMPLE_MAX as usize / 8]> = PerCpuArray::with_max_entries(1, 0);

/// Memory of one CPU.
#[repr(C)]
pub struct Local {
    /// Transitions that were handled and that the last copy of `state` has not seen yet: 128 sets of 2.
    pub handled: [u64; HANDLED_SLOTS],
    /// A room for each program.
    rooms: [Room; PROGRAMS as usize],
}

/// What a program passes through memory that the verifier does not track: it forgets what it knows of a value that comes out of a map. No
/// program interrupts itself on a CPU, so nothing else writes here meanwhile.
#[repr(C)]
pub struct Room {
    /// A socket's address, on its way from a pointer to a number.
    pub address: u64,
    /// A subprogram's result.
    pub slot: Slot,
}

/// Words of [`Local::handled`].
pub const HANDLED_SLOTS: usize = 256;

impl Local {
    /// A program's room.
    ///
    /// # Safety
    /// `local` is this CPU's.
    #[inline(always)]
    pub unsafe fn room(local: *mut Self, program: Program) -> *mut Room {
        // SAFETY: by the caller's promise; there is a room for each program.
        unsafe { (&raw mut (*local).rooms).cast::<Room>().add(program as usize) }
    }
}

/// `BPF_F_MMAPABLE`: user space can map the array, and its elements begin at a page.
pub const MMAPABLE: u32 = 1 << 10;

const NO_WAKEUP: u64 = 1;
const FORCE_WAKEUP: u64 = 2;
const AVAILABLE: u64 = 0;

/// The address that a helper takes for a map.
#[inline(always)]
fn handle<M>(map: &'static M) -> *mut c_void {
    (&raw const *map).cast_mut().cast()
}

/// Room for one record, not zeroed.
#[inline(always)]
pub fn reserve<T>(ring: &'static RingBuf) -> Option<*mut T> {
    // SAFETY: the size is a constant, the flags are 0.
    let room = unsafe { bpf_ringbuf_reserve(handle(ring), size_of::<T>() as u64, 0) }.cast::<T>();
    (!room.is_null()).then_some(room)
}

/// Commits a transition. Wakes an armed reader if there is enough to read.
///
/// # Safety
/// `record` came from [`reserve`] and is filled.
#[inline(always)]
pub unsafe fn submit_transition<T>(record: *mut T) {
    let flags = if wakes() { FORCE_WAKEUP } else { NO_WAKEUP };
    // SAFETY: by the caller's promise.
    unsafe { bpf_ringbuf_submit(record.cast(), flags) }
}

/// Whether the reader is to be woken now. A wake-up is an interrupt, so a reader that does not get the CPU gets one only.
#[inline(always)]
fn wakes() -> bool {
    let Some(signals) = SIGNALS.get_ptr_mut(0) else { return false };
    // SAFETY: an aligned word of the map.
    unsafe {
        let armed = &raw mut (*signals).armed;
        armed.read_volatile() != 0
            && bpf_ringbuf_query(handle(&TRANSITIONS), AVAILABLE) >= u64::from(setting!(wake_watermark))
            && atomic::exchange(armed, 0) != 0
    }
}

/// Whether seeding runs, and may have published an entry of the same socket.
#[inline(always)]
pub fn is_seeding() -> bool {
    // SAFETY: an aligned word of the map.
    SIGNALS.get_ptr(0).is_none_or(|signals| unsafe { (&raw const (*signals).seeding).read_volatile() } != 0)
}

/// Commits a sample; who reads the pass reads the ring.
///
/// # Safety
/// `record` came from [`reserve`] and is filled.
#[inline(always)]
pub unsafe fn submit_sample<T>(record: *mut T) {
    // SAFETY: by the caller's promise.
    unsafe { bpf_ringbuf_submit(record.cast(), NO_WAKEUP) }
}

/// Gives a record's room back.
///
/// # Safety
/// `record` came from [`reserve`].
#[inline(always)]
pub unsafe fn discard<T>(record: *mut T) {
    // SAFETY: by the caller's promise.
    unsafe { bpf_ringbuf_discard(record.cast(), NO_WAKEUP) }
}

/// Notes a listening socket as reported.
#[inline(always)]
pub fn note_listener(cookie: u64) {
    let seen = 1u32;
    // SAFETY: key and value are on the stack and of the map's sizes. A full map evicts: the note is a hint only.
    unsafe {
        bpf_map_update_elem(handle(&LISTENERS), (&raw const cookie).cast(), (&raw const seen).cast(), 0);
    }
}

/// Whether a listening socket was reported.
#[inline(always)]
pub fn listener_noted(cookie: u64) -> bool {
    // SAFETY: the key is 8 bytes on the stack.
    !unsafe { bpf_map_lookup_elem(handle(&LISTENERS), (&raw const cookie).cast()) }.is_null()
}

/// Forgets a listening socket.
#[inline(always)]
pub fn forget_listener(cookie: u64) {
    // SAFETY: the key is 8 bytes on the stack.
    unsafe { bpf_map_delete_elem(handle(&LISTENERS), (&raw const cookie).cast()) };
}
