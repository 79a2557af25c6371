//! Reading a socket that the verifier knows to be one: plain loads at the offsets of the running kernel.

use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_skc_to_tcp_sock};
use longwave_ebpf_abi::{Tuple, offsets::ABSENT};

use crate::{config::offset, maps::Room};

pub const AF_INET6: u16 = 10;

/// `TCP_*` states of the kernel.
pub mod tcp {
    pub const ESTABLISHED: u8 = 1;
    pub const SYN_SENT: u8 = 2;
    pub const SYN_RECV: u8 = 3;
    pub const TIME_WAIT: u8 = 6;
    pub const CLOSE: u8 = 7;
    pub const LISTEN: u8 = 10;
    pub const NEW_SYN_RECV: u8 = 12;
}

/// A `struct sock *` (or a `struct tcp_sock *`: the socket comes first).
#[derive(Clone, Copy)]
pub struct Socket(pub *const u8);

/// Loads a field of a kernel struct; 0 where the kernel lacks it.
///
/// # Safety
/// `base` is a pointer that the verifier knows, or null where it allows that, and `offset` one of its struct's fields.
#[inline(always)]
pub unsafe fn load<T: Copy + Default>(base: *const u8, offset: u32) -> T {
    if offset == ABSENT {
        return T::default();
    }
    // SAFETY: by the caller's promise; the verifier checks it.
    unsafe { base.add(offset as usize).cast::<T>().read_volatile() }
}

impl Socket {
    #[inline(always)]
    pub fn load<T: Copy + Default>(self, offset: u32) -> T {
        // SAFETY: the constructor's callers hold a socket.
        unsafe { load(self.0, offset) }
    }

    /// The socket's address, as a number: the verifier does not let a pointer be shifted or hashed.
    ///
    /// # Safety
    /// `room` is this program's, on this CPU.
    #[inline(always)]
    pub unsafe fn address(self, room: *mut Room) -> u64 {
        // SAFETY: by the caller's promise.
        unsafe {
            (&raw mut (*room).address).write_volatile(self.0 as u64);
            (&raw const (*room).address).read_volatile()
        }
    }

    /// The socket's cookie; 0 if it has none yet.
    #[inline(always)]
    pub fn known_cookie(self) -> u64 {
        self.load(offset!(cookie))
    }

    /// The socket's cookie. A socket that has none gets one.
    #[inline(always)]
    pub fn cookie(self) -> u64 {
        // SAFETY: the helper takes any socket.
        unsafe { bpf_get_socket_cookie(self.0.cast_mut().cast()) }
    }

    /// As a full TCP socket, if it is one.
    #[inline(always)]
    pub fn tcp(self) -> Option<Socket> {
        // SAFETY: the helper takes any socket and checks it.
        let socket = unsafe { bpf_skc_to_tcp_sock(self.0.cast_mut().cast()) }.cast::<u8>().cast_const();
        (!socket.is_null()).then_some(Socket(socket))
    }

    #[inline(always)]
    pub fn state(self) -> u8 {
        self.load(offset!(state))
    }

    /// Local port, host order; known also when `skc_num` is 0, at CLOSE.
    #[inline(always)]
    pub fn local_port(self) -> u16 {
        let source = u16::from_be(self.load(offset!(sport)));
        if source != 0 { source } else { self.load(offset!(num)) }
    }

    /// Peer port, host order.
    #[inline(always)]
    pub fn peer_port(self) -> u16 {
        u16::from_be(self.load(offset!(dport)))
    }

    /// Fills in the endpoints.
    ///
    /// # Safety
    /// `tuple` is valid for writes, 8-byte aligned and zero.
    #[inline(always)]
    pub unsafe fn tuple(self, tuple: *mut Tuple) {
        let family: u16 = self.load(offset!(family));
        // SAFETY: all within the tuple.
        unsafe {
            let local = (&raw mut (*tuple).local).cast::<u32>();
            let peer = (&raw mut (*tuple).peer).cast::<u32>();
            if family == AF_INET6 && offset!(v6_daddr) != ABSENT {
                let mut word = 0;
                while word < 4 {
                    local.add(word).write_volatile(self.load(offset!(v6_rcv_saddr) + word as u32 * 4));
                    peer.add(word).write_volatile(self.load(offset!(v6_daddr) + word as u32 * 4));
                    word += 1;
                }
            } else {
                local.add(2).write_volatile(u32::to_be(0xffff));
                peer.add(2).write_volatile(u32::to_be(0xffff));
                local.add(3).write_volatile(self.load(offset!(rcv_saddr)));
                peer.add(3).write_volatile(self.load(offset!(daddr)));
            }
            (&raw mut (*tuple).local_port).write_volatile(self.local_port());
            (&raw mut (*tuple).peer_port).write_volatile(self.peer_port());
            (&raw mut (*tuple).family).write_volatile(family);
        }
    }
}
