//! Sockets whose type the verifier tracks, read with plain loads at the offsets of the running kernel.

use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_skc_to_tcp_sock};
use longwave_ebpf_abi::{Tuple, offsets::ABSENT};

use crate::{config::offset, maps::Scratch};

pub const AF_INET6: u16 = 10;

/// `TCP_*` states of the kernel that matter here.
pub mod tcp {
    pub const ESTABLISHED: u8 = 1;
    pub const SYN_SENT: u8 = 2;
    pub const SYN_RECV: u8 = 3;
    pub const FIN_WAIT1: u8 = 4;
    pub const TIME_WAIT: u8 = 6;
    pub const CLOSE: u8 = 7;
    pub const CLOSE_WAIT: u8 = 8;
    pub const LAST_ACK: u8 = 9;
    pub const LISTEN: u8 = 10;
    pub const NEW_SYN_RECV: u8 = 12;
}

/// A `struct sock *`, or a `struct tcp_sock *`, which begins with a `struct sock`.
#[derive(Clone, Copy)]
pub struct Socket(pub *const u8);

/// Loads a field of a kernel struct. Returns 0 if the kernel lacks it.
///
/// # Safety
/// `base` is a pointer whose type the verifier tracks, or null if the verifier allows it. `offset` is that of a field of its struct.
#[inline(always)]
pub unsafe fn load<T: Copy + Default>(base: *const u8, offset: u32) -> T {
    if offset == ABSENT {
        return T::default();
    }
    // SAFETY: the pointer is valid, as the caller guarantees. The verifier checks it.
    unsafe { base.add(offset as usize).cast::<T>().read_volatile() }
}

impl Socket {
    #[inline(always)]
    pub fn load<T: Copy + Default>(self, offset: u32) -> T {
        // SAFETY: a `Socket` is only made of a pointer to a socket.
        unsafe { load(self.0, offset) }
    }

    /// Returns whether a single bit is set, by its offset in bits; `false` if the kernel lacks it.
    #[inline(always)]
    pub fn bit(self, offset: u32) -> bool {
        offset != ABSENT && self.load::<u8>(offset >> 3) >> (offset & 7) & 1 != 0
    }

    /// Returns the address of the socket as a number, since the verifier refuses to shift or hash a pointer.
    ///
    /// # Safety
    /// `scratch` is that of this program on this CPU.
    #[inline(always)]
    pub unsafe fn address(self, scratch: *mut Scratch) -> u64 {
        // SAFETY: this program is the only user of `scratch`, as the caller guarantees.
        unsafe {
            (&raw mut (*scratch).address).write_volatile(self.0 as u64);
            (&raw const (*scratch).address).read_volatile()
        }
    }

    /// Returns the socket's cookie; 0 if it has none yet.
    #[inline(always)]
    pub fn known_cookie(self) -> u64 {
        self.load(offset!(cookie))
    }

    /// Returns the socket's cookie. A socket without a cookie gets one.
    #[inline(always)]
    pub fn cookie(self) -> u64 {
        // SAFETY: the helper takes any socket.
        unsafe { bpf_get_socket_cookie(self.0.cast_mut().cast()) }
    }

    /// Casts the socket to a full TCP socket. Returns `None` if it is none.
    #[inline(always)]
    pub fn tcp(self) -> Option<Socket> {
        // SAFETY: the helper takes any socket and checks it.
        let socket = unsafe { bpf_skc_to_tcp_sock(self.0.cast_mut().cast()) }.cast::<u8>().cast_const();
        (!socket.is_null()).then_some(Socket(socket))
    }

    /// Returns the socket's state, one of [`tcp`].
    #[inline(always)]
    pub fn state(self) -> u8 {
        self.load(offset!(state))
    }

    /// Returns the local port in host byte order. It is also known at CLOSE, when `skc_num` is 0.
    #[inline(always)]
    pub fn local_port(self) -> u16 {
        let source = u16::from_be(self.load(offset!(sport)));
        if source != 0 { source } else { self.load(offset!(num)) }
    }

    /// Returns the peer port in host byte order.
    #[inline(always)]
    pub fn peer_port(self) -> u16 {
        u16::from_be(self.load(offset!(dport)))
    }

    /// Fills in addresses, ports and family.
    ///
    /// # Safety
    /// `tuple` is valid for writes, 8-byte aligned and zeroed.
    #[inline(always)]
    pub unsafe fn tuple(self, tuple: *mut Tuple) {
        let family: u16 = self.load(offset!(family));
        // SAFETY: the pointers are to fields of the tuple.
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
