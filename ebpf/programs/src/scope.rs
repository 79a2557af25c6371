//! The filters of the configuration: which sockets are reported.

use longwave_ebpf_abi::{offsets::ABSENT, settings::family};

use crate::{
    config::{offset, setting},
    maps::{self, PORT_SCOPE},
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
    if setting!(scope_cgroups) == 0 {
        return true;
    }
    // SAFETY: the verifier tracks the types of the pointers.
    let id = unsafe {
        let cgroup = socket.load::<Pointer>(offset!(cgroup)).0;
        let node: *const u8 = load::<Pointer>(cgroup, offset!(cgroup_kn)).0;
        load::<u64>(node, offset!(kn_id))
    };
    maps::scope_contains(id)
}
