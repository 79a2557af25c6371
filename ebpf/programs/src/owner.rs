//! Owners of sockets: network namespace, cgroup, and a process.
//!
//! A process is certain if it opened the connection actively, or if it closes the socket. A process that has a descriptor is certain to have
//! it, but others may have one too. The server's process is unknown at the open, which happens in a softirq.

use aya_ebpf::helpers::generated::{bpf_get_current_cgroup_id, bpf_get_current_task_btf};
use longwave_ebpf_abi::{Owner, TableEntry, entry::ControlWord, flag};

use crate::{
    atomic,
    config::offset,
    maps,
    socket::{Socket, load, tcp},
    table::{self, Slot, Table},
};

/// Flag of kernel threads in `task_struct.flags`.
const PF_KTHREAD: u32 = 0x0020_0000;

/// `sk_shutdown` of a socket that neither sends nor receives any more. `close` sets it before it changes the state.
const SHUTDOWN_MASK: u8 = 3;

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

/// Fills in the current process if it closes the socket, or has a descriptor of it, and no process is known as well yet. Returns
/// [`flag::CLOSER`] or [`flag::HOLDER`] if it did, else 0. `flags` are those of the connection so far, `old` the state that the socket leaves.
///
/// If a softirq changes the state, the socket is not locked, and the current process can be any. A process that has locked the socket has a
/// descriptor of it. It need not be the one that closes: it may shut down the sending side only, or be the first to process a segment that
/// arrived while the socket was locked. The walk of all descriptors may be the last to release a file, which closes it.
///
/// # Safety
/// `owner` is valid for reads and writes.
#[inline(always)]
pub unsafe fn of_closer(owner: *mut Owner, socket: Socket, old: u8, flags: u16) -> u16 {
    if socket.load::<i32>(offset!(lock_owned)) == 0 {
        return 0;
    }
    // `close` leaves the first two states while the socket still has its file. It leaves the others after it has removed the file.
    let has_file = !socket.load::<Pointer>(offset!(socket)).0.is_null();
    let may_close = matches!(old, tcp::ESTABLISHED | tcp::CLOSE_WAIT) || !has_file;
    let is_closer = may_close && socket.load::<u8>(offset!(shutdown)) == SHUTDOWN_MASK;
    let found = if is_closer { flag::CLOSER } else { flag::HOLDER };
    // SAFETY: `owner` is valid, as the caller guarantees.
    unsafe {
        let is_opener = flags & flag::CLIENT != 0 && (&raw const (*owner).pid).read_volatile() != 0;
        if is_opener || flags & (flag::CLOSER | found) != 0 || maps::is_walker() || !of_current(owner) {
            return 0;
        }
        found
    }
}

/// Enters a process that has a descriptor of the socket into the entry, unless it has a process.
///
/// Meanwhile the slot may be reused, or `state` may enter the process that closes. Then the process is unknown, so that none is wrong.
///
/// # Safety
/// `entry` is the entry of `slot`. `task` is a `task_struct` with a type that the verifier tracks.
#[inline(always)]
pub unsafe fn enter_holder(slot: Slot, entry: *mut TableEntry, task: *const u8) {
    // SAFETY: `entry` and `task` are valid, as the caller guarantees.
    unsafe {
        let control = &raw mut (*entry).control;
        let owner = &raw mut (*entry).owner;
        if (&raw const (*owner).pid).read_volatile() != 0 || !table::is_unchanged(Table, slot) {
            return;
        }
        let before = atomic::set_bits(control, ControlWord::flag_bits(flag::HOLDER));
        if ControlWord::unpack(before).flags & (flag::CLOSER | flag::HOLDER) != 0 {
            return;
        }
        of_task(owner, task);
        let flags = ControlWord::unpack(control.read_volatile()).flags;
        if flags & flag::CLOSER != 0 || !table::is_unchanged(Table, slot) {
            (&raw mut (*owner).pid).write_volatile(0);
            (&raw mut (*owner).process_cgroup).write_volatile(0);
            return;
        }
        // The next pass emits a sample, which reports the holder to user space.
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
