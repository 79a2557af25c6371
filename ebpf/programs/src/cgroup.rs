//! Creations and removals of cgroups. User space receives the path of a cgroup before a socket can be in it.
//!
//! The kernel runs the programs within `mkdir` and `rmdir`, one at a time, because it fills the one buffer of the path under a lock.

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_kernel_str};
use longwave_ebpf_abi::{
    CgroupEvent, LAYOUT_VERSION, MAX_CGROUP_PATH, kind,
    tally::{CGROUP_RING_FULL, CGROUP_SCOPE_FULL, Program},
};

use crate::{
    config::{offset, setting},
    maps::{self, CGROUP_BUFFER, CgroupBuffer},
    tally::count,
};

/// Reports a new cgroup with its path.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp/cgroup_mkdir")]
pub extern "C" fn cgroup_created(context: *const u64) -> i32 {
    // SAFETY: the context contains the arguments of the tracepoint.
    unsafe { created(context) };
    0
}

/// Reports that a cgroup was removed.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp/cgroup_rmdir")]
pub extern "C" fn cgroup_removed(context: *const u64) -> i32 {
    // SAFETY: the context contains the arguments of the tracepoint.
    unsafe { removed(context) };
    0
}

/// # Safety
/// `context` contains the arguments of `cgroup_mkdir`: cgroup, path.
#[inline(always)]
unsafe fn created(context: *const u64) {
    // SAFETY: the context has two arguments of 8 bytes.
    let (cgroup, from) = unsafe { (context.read_volatile(), context.add(1).read_volatile()) };
    let Some(id) = cgroup2_id(cgroup) else { return };
    // The sockets of the cgroup are reported until user space has decided.
    if setting!(scope_cgroups) != 0 && !maps::insert_scope(id) {
        count(Program::Cgroup, CGROUP_SCOPE_FULL);
    }
    let Some(buffer) = CGROUP_BUFFER.get_ptr_mut(0) else { return };
    // SAFETY: the buffer is that of this CPU, on which no other program uses it. The helper checks the address.
    unsafe {
        let path = (&raw mut (*buffer).path).cast();
        let length = bpf_probe_read_kernel_str(path, MAX_CGROUP_PATH as u32, from as *const _);
        // The length includes the NUL. The kernel has cut a path that fills its buffer.
        let length = if length > 0 && length < MAX_CGROUP_PATH as i64 { length as u64 - 1 } else { 0 };
        emit(buffer, kind::CGROUP_CREATED, id, length);
    }
}

/// # Safety
/// `context` contains the arguments of `cgroup_rmdir`: cgroup, path.
#[inline(always)]
unsafe fn removed(context: *const u64) {
    // SAFETY: the context has two arguments of 8 bytes.
    let cgroup = unsafe { context.read_volatile() };
    let Some(id) = cgroup2_id(cgroup) else { return };
    let Some(buffer) = CGROUP_BUFFER.get_ptr_mut(0) else { return };
    // SAFETY: the buffer is that of this CPU, on which no other program uses it.
    unsafe { emit(buffer, kind::CGROUP_REMOVED, id, 0) };
}

/// Emits an event with a path of `length` bytes.
///
/// # Safety
/// `buffer` is valid for writes, and contains the path.
#[inline(always)]
unsafe fn emit(buffer: *mut CgroupBuffer, kind: u8, id: u64, length: u64) {
    const { assert!(size_of::<CgroupEvent>() == 16) }
    let first = u64::from(LAYOUT_VERSION) | u64::from(kind) << 16 | length << 32;
    // SAFETY: the event is the first two words of the buffer. The target is little-endian.
    let is_emitted = unsafe {
        buffer.cast::<u64>().write_volatile(first);
        buffer.cast::<u64>().add(1).write_volatile(id);
        maps::output_cgroup(buffer, 16 + length)
    };
    if !is_emitted {
        count(Program::Cgroup, CGROUP_RING_FULL);
    }
}

/// Returns the id of a cgroup of version 2, whose hierarchy has the number 0, as in `/proc/<pid>/cgroup`. `None` for version 1.
#[inline(always)]
fn cgroup2_id(cgroup: u64) -> Option<u64> {
    let root = follow(cgroup + u64::from(offset!(cgroup_root)))?;
    let hierarchy = follow(root + u64::from(offset!(hierarchy_id)))? as u32;
    if hierarchy != 0 {
        return None;
    }
    let node = follow(cgroup + u64::from(offset!(cgroup_kn)))?;
    follow(node + u64::from(offset!(kn_id)))
}

/// Reads eight bytes of kernel memory. Returns `None` if they cannot be read.
#[inline(always)]
fn follow(address: u64) -> Option<u64> {
    let mut value = 0u64;
    // SAFETY: the helper checks the address.
    let result = unsafe { bpf_probe_read_kernel((&raw mut value).cast(), 8, address as *const _) };
    (result == 0).then_some(value)
}
