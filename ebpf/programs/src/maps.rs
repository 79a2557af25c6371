//! The maps. Sizes given here are placeholders: the loader sets them.

use aya_ebpf::{
    cty::c_void,
    helpers::generated::{
        bpf_map_delete_elem, bpf_map_lookup_elem, bpf_map_update_elem, bpf_ringbuf_discard,
        bpf_ringbuf_query, bpf_ringbuf_reserve, bpf_ringbuf_submit,
    },
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use longwave_ebpf_abi::{Tracked, settings::SAMPLE_MAX, tally::COUNT};

use crate::config::setting;

/// Open connections by their socket's address.
#[map(name = "connections")]
pub static CONNECTIONS: HashMap<u64, Tracked> = HashMap::with_max_entries(131_072, 0);

/// Opens, closes, listens. Apart from samples, so that those never crowd out a close.
#[map(name = "transitions")]
pub static TRANSITIONS: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// Samples.
#[map(name = "samples")]
pub static SAMPLES: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// What was lost, and other counts.
#[map(name = "tallies")]
pub static TALLIES: PerCpuArray<[u64; COUNT]> = PerCpuArray::with_max_entries(1, 0);

/// One bit per port in scope.
#[map(name = "port_scope")]
pub static PORT_SCOPE: Array<[u64; 1024]> = Array::with_max_entries(1, 0);

/// Listening sockets already reported, by cookie: the namespace walk tells only those that no process holds.
#[map(name = "listeners")]
pub static LISTENERS: LruHashMap<u64, u32> = LruHashMap::with_max_entries(16_384, 0);

/// What `state` handled and `state_again` has not seen yet.
#[map(name = "handled")]
pub static HANDLED: PerCpuArray<[u64; HANDLED_SLOTS]> = PerCpuArray::with_max_entries(1, 0);

/// 128 sets of 2.
pub const HANDLED_SLOTS: usize = 256;

/// Where a sample copies the socket's counters to.
#[map(name = "scratch")]
pub static SCRATCH: PerCpuArray<[u64; SAMPLE_MAX as usize / 8]> = PerCpuArray::with_max_entries(1, 0);

pub const ENOENT: i32 = -2;
pub const E2BIG: i32 = -7;
pub const EEXIST: i32 = -17;
pub const NOEXIST: u64 = 1;

const NO_WAKEUP: u64 = 1;
const FORCE_WAKEUP: u64 = 2;
const AVAILABLE: u64 = 0;

/// The address that a helper takes for a map.
#[inline(always)]
fn handle<M>(map: &'static M) -> *mut c_void {
    (&raw const *map).cast_mut().cast()
}

/// The entry of a socket. It may become another connection's at any time: what is read is to be checked by its cookie.
#[inline(always)]
pub fn entry(socket: u64) -> Option<*mut Tracked> {
    // SAFETY: the key is 8 bytes on the stack.
    let found =
        unsafe { bpf_map_lookup_elem(handle(&CONNECTIONS), (&raw const socket).cast()) }.cast::<Tracked>();
    (!found.is_null()).then_some(found)
}

/// Inserts; the kernel's answer, of which 6.1 defines the lower half only.
#[inline(always)]
pub fn insert(socket: u64, value: *const Tracked, flags: u64) -> i32 {
    // SAFETY: key and value are on the stack and of the map's sizes.
    unsafe {
        bpf_map_update_elem(handle(&CONNECTIONS), (&raw const socket).cast(), value.cast(), flags) as i32
    }
}

/// Removes; the kernel's answer, likewise.
#[inline(always)]
pub fn remove(socket: u64) -> i32 {
    // SAFETY: the key is 8 bytes on the stack.
    unsafe { bpf_map_delete_elem(handle(&CONNECTIONS), (&raw const socket).cast()) as i32 }
}

/// Room for one record, not zeroed.
#[inline(always)]
pub fn reserve<T>(ring: &'static RingBuf) -> Option<*mut T> {
    // SAFETY: the size is a constant, the flags are 0.
    let room = unsafe { bpf_ringbuf_reserve(handle(ring), size_of::<T>() as u64, 0) }.cast::<T>();
    (!room.is_null()).then_some(room)
}

/// Commits a transition, waking user space only when there is enough to read.
///
/// # Safety
/// `record` came from [`reserve`] and is filled.
#[inline(always)]
pub unsafe fn submit_transition<T>(record: *mut T) {
    // SAFETY: by the caller's promise.
    unsafe {
        let waiting = bpf_ringbuf_query(handle(&TRANSITIONS), AVAILABLE);
        let wake = if waiting >= u64::from(setting!(wake_watermark)) { FORCE_WAKEUP } else { NO_WAKEUP };
        bpf_ringbuf_submit(record.cast(), wake);
    }
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
