//! The kernel's protocol `NETLINK_SOCK_DIAG`: list TCP sockets, look up one, and decode what the kernel sends.
//!
//! The structs are those of `linux/inet_diag.h` and `linux/tcp.h`. Numbers are in the machine's byte order, addresses and ports in network
//! byte order. Every length is checked: a message that is not valid yields no socket. A kernel that is older than a field sends a shorter
//! `tcp_info`.
//!
//! The crate `netlink-packet-sock-diag` is not used: see the measurement in docs/PERFORMANCE.md. It allocates for each attribute, and
//! lacks the cgroup.

mod decode;
mod encode;

#[cfg(test)]
pub(in crate::sock_diag) mod tests;

pub(super) use decode::{DiagSocket, TcpInfo};
pub(super) use encode::{list, look_up};

/// `SOCK_DIAG_BY_FAMILY`.
pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `SKNLGRP_INET_TCP_DESTROY` and `SKNLGRP_INET6_TCP_DESTROY`, as bits of a netlink address.
pub(super) const DESTROY_GROUPS: u32 = 1 << 0 | 1 << 2;

pub(super) const AF_INET: u8 = 2;
pub(super) const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;

const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_ULP_INFO: u16 = 19;
const INET_DIAG_CGROUP_ID: u16 = 21;

/// Size of `struct inet_diag_msg` in bytes.
const MESSAGE: usize = 72;

/// States of sockets that have a connection, as bits: all but SYN_RECV, TIME_WAIT, CLOSE and LISTEN.
pub(super) const CONNECTED: u32 = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11;
/// LISTEN, as a bit.
pub(super) const LISTENING: u32 = 1 << 10;
