//! Encodes requests.

use longwave_pipeline::component::netlink;

use super::{AF_INET, DiagSocket, INET_DIAG_INFO, IPPROTO_TCP, SOCK_DIAG_BY_FAMILY};

/// Appends a request for all TCP sockets of an address family whose state is in `states`.
pub(in crate::sock_diag) fn list(buffer: &mut Vec<u8>, sequence: u32, family: u8, states: u32) {
    netlink::request(buffer, SOCK_DIAG_BY_FAMILY, netlink::DUMP, sequence, |buffer| {
        head(buffer, family, states);
        // `struct inet_diag_sockid`: any.
        buffer.extend([0; 48]);
    });
}

/// Appends a look-up of the socket that has the addresses and ports of `socket`. The reply is a socket or an error (2, `ENOENT`).
pub(in crate::sock_diag) fn look_up(buffer: &mut Vec<u8>, sequence: u32, socket: &DiagSocket) {
    netlink::request(buffer, SOCK_DIAG_BY_FAMILY, 0, sequence, |buffer| {
        head(buffer, socket.family, u32::MAX);
        buffer.extend(socket.local_port.to_be_bytes());
        buffer.extend(socket.peer_port.to_be_bytes());
        for address in [&socket.local, &socket.peer] {
            if socket.family == AF_INET {
                buffer.extend(&address[12..]);
                buffer.extend([0; 12]);
            } else {
                buffer.extend(address);
            }
        }
        // Any interface, any cookie (`INET_DIAG_NOCOOKIE`).
        buffer.extend(socket.interface.to_ne_bytes());
        buffer.extend([0xff; 8]);
    });
}

fn head(buffer: &mut Vec<u8>, family: u8, states: u32) {
    buffer.extend([family, IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0]);
    buffer.extend(states.to_ne_bytes());
}
