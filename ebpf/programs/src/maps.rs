//! All maps except those of the connection table. The loader replaces the sizes given here.

use aya_ebpf::{
    cty::c_void,
    helpers::generated::{
        bpf_get_current_pid_tgid, bpf_map_delete_elem, bpf_map_lookup_elem, bpf_map_update_elem,
        bpf_ringbuf_discard, bpf_ringbuf_output, bpf_ringbuf_query, bpf_ringbuf_reserve, bpf_ringbuf_submit,
    },
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use longwave_ebpf_abi::{
    CgroupEvent, ConnectionEvent, MAX_CGROUP_PATH, SHORT_EVENT_LEN, Signals,
    settings::MAX_SAMPLE_LEN,
    tally::{COUNT, PROGRAMS, Program},
};

use crate::{atomic, config::setting, table::Slot};

/// Ring of opens, closes and listens. Samples have another ring, so that they never displace a close.
#[map(name = "transitions")]
pub static TRANSITIONS: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// Ring of samples.
#[map(name = "samples")]
pub static SAMPLES: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Flags that user space sets.
#[map(name = "signals")]
pub static SIGNALS: Array<Signals> = Array::with_max_entries(1, MMAPABLE);

/// Counters, by [`Program`].
#[map(name = "tallies")]
pub static TALLIES: PerCpuArray<[u64; COUNT]> = PerCpuArray::with_max_entries(PROGRAMS, 0);

/// One bit per port; set if the port is in scope.
#[map(name = "port_scope")]
pub static PORT_SCOPE: Array<[u64; 1024]> = Array::with_max_entries(1, 0);

/// Ring of creations and removals of cgroups.
#[map(name = "cgroup_events")]
pub static CGROUP_EVENTS: RingBuf = RingBuf::with_byte_size(256 << 10, 0);

/// Ids of the cgroups whose sockets are reported: those that user space has inserted, and new ones that it has not decided on yet.
#[map(name = "cgroup_scope")]
pub static CGROUP_SCOPE: HashMap<u64, u32> = HashMap::with_max_entries(1, 0);

/// Buffer for an event of a cgroup.
#[map(name = "cgroup_buffer")]
pub static CGROUP_BUFFER: PerCpuArray<CgroupBuffer> = PerCpuArray::with_max_entries(1, 0);

/// Cookies of reported listening sockets. `seed_namespace` reports only those that are not in it.
#[map(name = "listeners")]
pub static LISTENERS: LruHashMap<u64, u32> = LruHashMap::with_max_entries(16_384, 0);

/// Working memory of the programs on each CPU.
#[map(name = "cpu_memory")]
pub static CPU_MEMORY: PerCpuArray<CpuMemory> = PerCpuArray::with_max_entries(1, 0);

/// Buffer into which a sample copies the socket's counters.
#[map(name = "sample_buffer")]
pub static SAMPLE_BUFFER: PerCpuArray<[u64; MAX_SAMPLE_LEN as usize / 8]> =
    PerCpuArray::with_max_entries(1, 0);

/// Working memory of one CPU.
#[repr(C)]
pub struct CpuMemory {
    /// Ids of handled transitions that the last copy of `state` has not seen yet: 128 sets of 2.
    pub handled: [u64; HANDLED_WORDS],
    /// Working memory of each program.
    scratch: [Scratch; PROGRAMS as usize],
}

/// Working memory of one program on one CPU.
///
/// The verifier assumes nothing about values that are read from a map, which is why they pass through here. A program cannot interrupt
/// itself on a CPU, so that it is the only writer.
#[repr(C)]
pub struct Scratch {
    /// Address of a socket, written as a pointer and read as a number.
    pub address: u64,
    /// Result of a subprogram.
    pub slot: Slot,
}

/// An event of a cgroup, with its path.
#[repr(C)]
pub struct CgroupBuffer {
    pub event: CgroupEvent,
    pub path: [u8; MAX_CGROUP_PATH],
}

/// Words of [`CpuMemory::handled`].
pub const HANDLED_WORDS: usize = 256;

impl CpuMemory {
    /// Returns the working memory of a program.
    ///
    /// # Safety
    /// `memory` is that of this CPU.
    #[inline(always)]
    pub unsafe fn scratch(memory: *mut Self, program: Program) -> *mut Scratch {
        // SAFETY: the array has an element for each program.
        unsafe { (&raw mut (*memory).scratch).cast::<Scratch>().add(program as usize) }
    }
}

/// `BPF_F_MMAPABLE`: user space can map the array. Its first element is aligned to a page.
pub const MMAPABLE: u32 = 1 << 10;

/// `BPF_RB_NO_WAKEUP`.
const NO_WAKEUP: u64 = 1;
/// `BPF_RB_FORCE_WAKEUP`.
const FORCE_WAKEUP: u64 = 2;
/// `BPF_RB_AVAIL_DATA`: the query for the number of unread bytes.
const UNREAD_BYTES: u64 = 0;

/// Returns the address by which helpers identify a map.
#[inline(always)]
fn handle<M>(map: &'static M) -> *mut c_void {
    (&raw const *map).cast_mut().cast()
}

/// Reserves a record, whose memory is not zeroed. Returns `None` if the ring is full.
#[inline(always)]
pub fn reserve<T>(ring: &'static RingBuf) -> Option<*mut T> {
    // SAFETY: the helper takes a ring, a constant size and no flags.
    let record = unsafe { bpf_ringbuf_reserve(handle(ring), size_of::<T>() as u64, 0) }.cast::<T>();
    (!record.is_null()).then_some(record)
}

/// Memory of a [`ConnectionEvent`] without [`flag::LIMITS`](longwave_ebpf_abi::flag::LIMITS).
pub type ShortEvent = [u64; SHORT_EVENT_LEN / 8];

/// Reserves an event without limits, as [`reserve`]. Its limits are not valid for writes.
#[inline(always)]
pub fn reserve_short(ring: &'static RingBuf) -> Option<*mut ConnectionEvent> {
    reserve::<ShortEvent>(ring).map(<*mut _>::cast)
}

/// Commits a record of the transitions ring. Wakes the reader if it waits and there is enough to read.
///
/// # Safety
/// `record` was returned by [`reserve`] and is filled in.
#[inline(always)]
pub unsafe fn submit_transition<T>(record: *mut T) {
    let flags = if must_wake_reader() { FORCE_WAKEUP } else { NO_WAKEUP };
    // SAFETY: `record` is reserved, as the caller guarantees.
    unsafe { bpf_ringbuf_submit(record.cast(), flags) }
}

/// Returns whether to wake the reader now. The reader is woken once until it waits again, because each wake-up costs an interrupt.
#[inline(always)]
fn must_wake_reader() -> bool {
    let Some(signals) = SIGNALS.get_ptr_mut(0) else { return false };
    // SAFETY: `armed` is an aligned word of the map.
    unsafe {
        let armed = &raw mut (*signals).armed;
        armed.read_volatile() != 0
            && bpf_ringbuf_query(handle(&TRANSITIONS), UNREAD_BYTES) >= u64::from(setting!(wake_watermark))
            && atomic::exchange(armed, 0) != 0
    }
}

/// Returns whether seeding runs, which may publish a second entry of a socket.
#[inline(always)]
pub fn is_seeding() -> bool {
    // SAFETY: `seeding` is an aligned word of the map.
    SIGNALS.get_ptr(0).is_none_or(|signals| unsafe { (&raw const (*signals).seeding).read_volatile() } != 0)
}

/// Stores that the current thread walks the descriptors of all processes.
#[inline(always)]
pub fn set_walker() {
    if let Some(signals) = SIGNALS.get_ptr_mut(0) {
        // SAFETY: `walker` is an aligned word of the map. The helper takes no arguments.
        unsafe { (&raw mut (*signals).walker).write_volatile(bpf_get_current_pid_tgid()) };
    }
}

/// Returns whether the current thread walks the descriptors of all processes.
#[inline(always)]
pub fn is_walker() -> bool {
    // SAFETY: `walker` is an aligned word of the map. The helper takes no arguments.
    SIGNALS.get_ptr(0).is_some_and(|signals| unsafe {
        (&raw const (*signals).walker).read_volatile() == bpf_get_current_pid_tgid()
    })
}

/// Commits a record of the samples ring. Wakes no reader, because the process that runs `sample` drains the ring.
///
/// # Safety
/// `record` was returned by [`reserve`] and is filled in.
#[inline(always)]
pub unsafe fn submit_sample<T>(record: *mut T) {
    // SAFETY: `record` is reserved, as the caller guarantees.
    unsafe { bpf_ringbuf_submit(record.cast(), NO_WAKEUP) }
}

/// Discards a reserved record.
///
/// # Safety
/// `record` was returned by [`reserve`].
#[inline(always)]
pub unsafe fn discard<T>(record: *mut T) {
    // SAFETY: `record` is reserved, as the caller guarantees.
    unsafe { bpf_ringbuf_discard(record.cast(), NO_WAKEUP) }
}

/// Records that a listening socket was reported. The map evicts old sockets if it is full, which repeats their reports.
#[inline(always)]
pub fn insert_listener(cookie: u64) {
    let value = 1u32;
    // SAFETY: key and value are on the stack and have the sizes of the map.
    unsafe {
        bpf_map_update_elem(handle(&LISTENERS), (&raw const cookie).cast(), (&raw const value).cast(), 0);
    }
}

/// Returns whether a listening socket was reported.
#[inline(always)]
pub fn contains_listener(cookie: u64) -> bool {
    // SAFETY: the key is on the stack and has the size of the map's keys.
    !unsafe { bpf_map_lookup_elem(handle(&LISTENERS), (&raw const cookie).cast()) }.is_null()
}

/// Removes a socket that no longer listens.
#[inline(always)]
pub fn remove_listener(cookie: u64) {
    // SAFETY: the key is on the stack and has the size of the map's keys.
    unsafe { bpf_map_delete_elem(handle(&LISTENERS), (&raw const cookie).cast()) };
}

/// Emits the first `length` bytes of an event of a cgroup. Wakes no reader, because the events are read before those of sockets. Returns
/// false if the ring is full.
///
/// # Safety
/// `length` bytes of `buffer` are filled in.
#[inline(always)]
pub unsafe fn output_cgroup(buffer: *mut CgroupBuffer, length: u64) -> bool {
    // SAFETY: the buffer has `length` bytes, as the caller guarantees.
    unsafe { bpf_ringbuf_output(handle(&CGROUP_EVENTS), buffer.cast(), length, NO_WAKEUP) == 0 }
}

/// Adds a cgroup to those whose sockets are reported. Returns false if there is no room.
#[inline(always)]
pub fn insert_scope(cgroup: u64) -> bool {
    let value = 0u32;
    // SAFETY: key and value are on the stack and have the sizes of the map.
    unsafe {
        bpf_map_update_elem(handle(&CGROUP_SCOPE), (&raw const cgroup).cast(), (&raw const value).cast(), 0)
            == 0
    }
}

/// Returns whether the sockets of a cgroup are reported.
#[inline(always)]
pub fn scope_contains(cgroup: u64) -> bool {
    // SAFETY: the key is on the stack and has the size of the map's keys.
    !unsafe { bpf_map_lookup_elem(handle(&CGROUP_SCOPE), (&raw const cgroup).cast()) }.is_null()
}
