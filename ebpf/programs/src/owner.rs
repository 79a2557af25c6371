//! Owners of sockets: network namespace, cgroup, and a process.
//!
//! A process is certain if it opened the connection actively, or if it closes the socket. A process that has a descriptor is certain to have
//! it, but others may have one too. The server's process is unknown at the open, which happens in a softirq.

use aya_ebpf::helpers::generated::{bpf_get_current_cgroup_id, bpf_get_current_task_btf};
use longwave_ebpf_abi::{Owner, TableEntry, entry::ControlWord, flag};

use crate::{
    atomic,
    config::offset,
    socket::{Socket, load},
};

/// Flag of kernel threads in `task_struct.flags`.
const PF_KTHREAD: u32 = 0x0020_0000;

/// `sk_shutdown` of a socket that neither sends nor receives any more. `close` sets it before it changes the state.
pub const SHUTDOWN_MASK: u8 = 3;

/// Fills in the network namespace and the cgroup of the socket.
///
/// # Safety
/// `owner` is valid for writes and zeroed.
#[inline(always)]
pub unsafe fn of_socket(owner: *mut Owner, socket: Socket) {
    // SAFETY: the pointers are to fields of the owner and of kernel types that the verifier tracks.
    unsafe {
        let net: *const u8 = socket.load::<Pointer>(offset!(net)).0;
        (&raw mut (*owner).netns).write_volatile(load(net, offset!(net_inum)));
        let cgroup: *const u8 = socket.load::<Pointer>(offset!(cgroup)).0;
        (&raw mut (*owner).socket_cgroup).write_volatile(cgroup_id(cgroup));
    }
}

/// Fills in the current process. Only correct if a system call caused the transition. Returns false for a kernel thread, which is the owner
/// of nothing.
///
/// # Safety
/// `owner` is valid for writes.
#[inline(always)]
pub unsafe fn of_current(owner: *mut Owner) -> bool {
    // SAFETY: the helper returns the current task, whose type the verifier tracks. `owner` is valid, as the caller guarantees.
    unsafe {
        let task = bpf_get_current_task_btf().cast::<u8>().cast_const();
        if load::<u32>(task, offset!(task_flags)) & PF_KTHREAD != 0 {
            return false;
        }
        (&raw mut (*owner).process_cgroup).write_volatile(bpf_get_current_cgroup_id());
        of_process(owner, task);
        true
    }
}

/// Fills in a process that has a descriptor of the socket.
///
/// # Safety
/// `owner` is valid for writes. `task` is a `task_struct` with a type that the verifier tracks.
#[inline(always)]
pub unsafe fn of_task(owner: *mut Owner, task: *const u8) {
    // SAFETY: the pointers are to fields of the owner and of kernel types that the verifier tracks.
    unsafe {
        let set: *const u8 = load::<Pointer>(task, offset!(task_cgroups)).0;
        let cgroup: *const u8 = load::<Pointer>(set, offset!(css_set_dfl_cgrp)).0;
        (&raw mut (*owner).process_cgroup).write_volatile(cgroup_id(cgroup));
        of_process(owner, task);
    }
}

/// Fills in the current process if it closes the socket, or shuts down its sending side, and no process is certain yet. Returns
/// [`flag::CLOSER`] or [`flag::HOLDER`] if it did, else 0. `flags` are those of the connection so far.
///
/// The process that changes a socket's state has locked it. If a softirq changes it, the socket is not locked, and the current process can
/// be any. A process that only shuts down the sending side need not be the one that closes.
///
/// # Safety
/// `owner` is valid for reads and writes.
#[inline(always)]
pub unsafe fn of_closer(owner: *mut Owner, socket: Socket, flags: u16) -> u16 {
    if socket.load::<i32>(offset!(lock_owned)) == 0 {
        return 0;
    }
    // SAFETY: `owner` is valid, as the caller guarantees.
    unsafe {
        let is_opener = flags & flag::CLIENT != 0 && (&raw const (*owner).pid).read_volatile() != 0;
        let found =
            if socket.load::<u8>(offset!(shutdown)) == SHUTDOWN_MASK { flag::CLOSER } else { flag::HOLDER };
        if is_opener || flags & (flag::CLOSER | found) != 0 || !of_current(owner) {
            return 0;
        }
        found
    }
}

/// Enters a process that has a descriptor of the socket into the entry, unless it has a process.
///
/// # Safety
/// `entry` is an entry of the table. `task` is a `task_struct` with a type that the verifier tracks.
#[inline(always)]
pub unsafe fn enter_holder(entry: *mut TableEntry, task: *const u8) {
    // SAFETY: `entry` and `task` are valid, as the caller guarantees.
    unsafe {
        let control = &raw mut (*entry).control;
        let flags = ControlWord::unpack(control.read_volatile()).flags;
        let owner = &raw mut (*entry).owner;
        let has_process = (&raw const (*owner).pid).read_volatile() != 0;
        if has_process || flags & (flag::CLOSER | flag::HOLDER) != 0 {
            return;
        }
        of_task(owner, task);
        atomic::set_bits(control, ControlWord::flag_bits(flag::HOLDER));
        // The next pass emits a sample, with which user space learns of the holder.
        control.cast::<u8>().add(ControlWord::IDLE_PASSES_BYTE).write_volatile(u8::MAX - 1);
    }
}

/// Fills in id and name of a thread's process: those of its first thread, since other threads have names of their own.
///
/// # Safety
/// As for [`of_task`].
#[inline(always)]
unsafe fn of_process(owner: *mut Owner, task: *const u8) {
    // SAFETY: the pointers are to fields of the owner and of kernel types that the verifier tracks.
    unsafe {
        (&raw mut (*owner).pid).write_volatile(load(task, offset!(task_tgid)));
        let leader: *const u8 = load::<Pointer>(task, offset!(task_group_leader)).0;
        let name = (&raw mut (*owner).name).cast::<u64>();
        name.write_volatile(load(leader, offset!(task_comm)));
        name.add(1).write_volatile(load(leader, offset!(task_comm) + 8));
    }
}

/// Returns the cgroup2 id of a cgroup.
///
/// # Safety
/// `cgroup` is a `struct cgroup *` with a type that the verifier tracks.
#[inline(always)]
unsafe fn cgroup_id(cgroup: *const u8) -> u64 {
    // SAFETY: `cgroup` is valid, as the caller guarantees.
    unsafe {
        let node: *const u8 = load::<Pointer>(cgroup, offset!(cgroup_kn)).0;
        load(node, offset!(kn_id))
    }
}

/// A pointer loaded from kernel memory; null if the kernel lacks the field.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Pointer(pub *const u8);

impl Default for Pointer {
    #[inline(always)]
    fn default() -> Self {
        Pointer(core::ptr::null())
    }
}
