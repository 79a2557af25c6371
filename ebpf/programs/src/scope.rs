//! The filters of the configuration: which sockets are reported.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use longwave_ebpf_abi::{offsets::ABSENT, settings::family};

use crate::{
    config::{offset, setting},
    maps::PORT_SCOPE,
    owner::Pointer,
    socket::{AF_INET6, Socket, load},
};

/// Returns whether a connection or listener is to be reported.
#[inline(always)]
pub fn includes(socket: Socket) -> bool {
    family_included(socket) && ports_included(socket) && cgroup_included(socket)
}

#[inline(always)]
fn family_included(socket: Socket) -> bool {
    let wanted = setting!(families);
    if wanted == family::V4 | family::V6 {
        return true;
    }
    let mut families = family::V4;
    if socket.load::<u16>(offset!(family)) == AF_INET6 && offset!(v6_daddr) != ABSENT {
        // A listener on the wildcard address accepts connections of both families.
        let local = offset!(v6_rcv_saddr);
        let mapped = socket.load::<u64>(local) == 0 && socket.load::<u32>(local + 8) == u32::to_be(0xffff);
        let any = socket.load::<u64>(local) == 0 && socket.load::<u64>(local + 8) == 0;
        families = match (mapped, any) {
            (true, _) => family::V4,
            (false, true) => family::V4 | family::V6,
            (false, false) => family::V6,
        };
    }
    wanted & families != 0
}

#[inline(always)]
fn ports_included(socket: Socket) -> bool {
    if setting!(scope_ports) == 0 {
        return true;
    }
    let Some(ports) = PORT_SCOPE.get_ptr(0) else { return false };
    let has = |port: u16| {
        // `read_once` keeps the compiler from removing the mask: the verifier of 6.1 does not know that a byte swap returns 16 bits.
        let index = crate::config::read_once(usize::from(port) >> 6) & 1023;
        // SAFETY: the map has a bit for each of the 65,536 ports.
        let word = unsafe { ports.cast::<u64>().add(index).read_volatile() };
        word >> (port & 63) & 1 != 0
    };
    has(socket.local_port()) || has(socket.peer_port())
}

#[inline(always)]
fn cgroup_included(socket: Socket) -> bool {
    let wanted = setting!(scope_cgroup);
    if wanted == 0 {
        return true;
    }
    // SAFETY: the verifier tracks the type of `cgroup`. It does not track the array of ancestors, which `follow` reads instead.
    unsafe {
        let cgroup = socket.load::<Pointer>(offset!(cgroup)).0;
        if load::<i32>(cgroup, offset!(cgroup_level)) < setting!(scope_cgroup_level) as i32 {
            return false;
        }
        let slot = cgroup as u64
            + u64::from(offset!(cgroup_ancestors))
            + 8 * u64::from(setting!(scope_cgroup_level));
        let node = follow(follow(slot) + u64::from(offset!(cgroup_kn)));
        follow(node + u64::from(offset!(kn_id))) == wanted
    }
}

/// Reads eight bytes of kernel memory. Returns 0 if they cannot be read.
#[inline(always)]
fn follow(address: u64) -> u64 {
    let mut value = 0u64;
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel((&raw mut value).cast(), 8, address as *const _) };
    value
}
