//! Who owns a socket: its network namespace and cgroup, and the process that opens or holds it.

use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid,
};
use longwave_ebpf_abi::Owner;

use crate::{
    config::offset,
    socket::{Socket, load},
};

/// Fills in what the socket itself tells.
///
/// # Safety
/// `owner` is valid for writes and zero.
#[inline(always)]
pub unsafe fn of_socket(owner: *mut Owner, socket: Socket) {
    // SAFETY: fields of the owner; pointers that the kernel's types lead to.
    unsafe {
        let net: *const u8 = socket.load::<Pointer>(offset!(net)).0;
        (&raw mut (*owner).netns).write_volatile(load(net, offset!(net_inum)));
        let cgroup: *const u8 = socket.load::<Pointer>(offset!(cgroup)).0;
        (&raw mut (*owner).socket_cgroup).write_volatile(cgroup_id(cgroup));
    }
}

/// Fills in the current process: valid where the transition is a system call's.
///
/// # Safety
/// `owner` is valid for writes.
#[inline(always)]
pub unsafe fn of_current(owner: *mut Owner) {
    // SAFETY: fields of the owner.
    unsafe {
        (&raw mut (*owner).pid).write_volatile((bpf_get_current_pid_tgid() >> 32) as u32);
        (&raw mut (*owner).holder_cgroup).write_volatile(bpf_get_current_cgroup_id());
        bpf_get_current_comm((&raw mut (*owner).name).cast(), 16);
    }
}

/// Fills in a process that holds a descriptor of the socket.
///
/// # Safety
/// `owner` is valid for writes, `task` a `task_struct` that the verifier knows.
#[inline(always)]
pub unsafe fn of_task(owner: *mut Owner, task: *const u8) {
    // SAFETY: fields of the owner; pointers that the kernel's types lead to.
    unsafe {
        (&raw mut (*owner).pid).write_volatile(load(task, offset!(task_tgid)));
        let name = (&raw mut (*owner).name).cast::<u64>();
        name.write_volatile(load(task, offset!(task_comm)));
        name.add(1).write_volatile(load(task, offset!(task_comm) + 8));
        let set: *const u8 = load::<Pointer>(task, offset!(task_cgroups)).0;
        let cgroup: *const u8 = load::<Pointer>(set, offset!(css_set_dfl_cgrp)).0;
        (&raw mut (*owner).holder_cgroup).write_volatile(cgroup_id(cgroup));
    }
}

/// # Safety
/// `cgroup` is a `struct cgroup *` that the verifier knows.
#[inline(always)]
unsafe fn cgroup_id(cgroup: *const u8) -> u64 {
    // SAFETY: by the caller's promise.
    unsafe {
        let node: *const u8 = load::<Pointer>(cgroup, offset!(cgroup_kn)).0;
        load(node, offset!(kn_id))
    }
}

/// A kernel pointer as loaded; null where the field is absent.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Pointer(pub *const u8);

impl Default for Pointer {
    #[inline(always)]
    fn default() -> Self {
        Pointer(core::ptr::null())
    }
}
