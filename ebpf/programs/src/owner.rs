//! Owners of sockets: network namespace, cgroup, and the process that opened the socket or has a descriptor of it.

use aya_ebpf::helpers::generated::{bpf_get_current_cgroup_id, bpf_get_current_task_btf};
use longwave_ebpf_abi::Owner;

use crate::{
    config::offset,
    socket::{Socket, load},
};

/// Flag of kernel threads in `task_struct.flags`.
const PF_KTHREAD: u32 = 0x0020_0000;

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

/// Fills in the current process. Only correct if a system call caused the transition. A kernel thread is the owner of nothing.
///
/// # Safety
/// `owner` is valid for writes and zeroed.
#[inline(always)]
pub unsafe fn of_current(owner: *mut Owner) {
    // SAFETY: the helper returns the current task, whose type the verifier tracks. `owner` is valid, as the caller guarantees.
    unsafe {
        let task = bpf_get_current_task_btf().cast::<u8>().cast_const();
        if load::<u32>(task, offset!(task_flags)) & PF_KTHREAD != 0 {
            return;
        }
        (&raw mut (*owner).process_cgroup).write_volatile(bpf_get_current_cgroup_id());
        of_process(owner, task);
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
