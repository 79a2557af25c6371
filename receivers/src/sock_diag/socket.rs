//! [`DiagnosisSocket`]: a netlink socket of one network namespace.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use longwave_pipeline::component::netlink::{DUMP_INTERRUPTED, Messages, Payload};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{
    Timeout, set_socket_recv_buffer_size, set_socket_recv_buffer_size_force, set_socket_timeout,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink, recv, send, socket_with,
};

use super::wire::{self, DiagSocket, SOCK_DIAG_BY_FAMILY};

/// Size of the kernel's longest message in bytes.
const MAX_MESSAGE: usize = 32 * 1024;

/// Time limit of a receive, as a precaution: the kernel writes the next part of a list while the list is read.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Look-ups that are sent together. Their replies (less than 1 KB each in the kernel) fit into the smallest receive buffer.
pub(super) const BATCH: usize = 32;

/// A socket of the namespace in which it was opened. It keeps that namespace alive.
pub(super) struct DiagnosisSocket {
    fd: OwnedFd,
    sequence: u32,
    request: Vec<u8>,
    received: Vec<u8>,
}

/// Why receiving stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// No more messages wait.
    Everything,
    /// The maximum number was received. More may wait.
    Limit,
    /// The receive buffer overflowed, and messages were lost.
    Overflow,
    /// The kernel refused.
    Failed(Errno),
}

// === impl DiagnosisSocket ===

impl DiagnosisSocket {
    /// Opens a socket for requests in the calling thread's namespace.
    pub fn for_requests() -> io::Result<Self> {
        let fd = open(SocketFlags::CLOEXEC)?;
        set_socket_timeout(&fd, Timeout::Recv, Some(TIMEOUT))?;
        Ok(Self { fd, sequence: 0, request: Vec::new(), received: vec![0; MAX_MESSAGE] })
    }

    /// Opens a socket that receives the sockets that end in the calling thread's namespace.
    pub fn for_ended_sockets(receive_buffer: usize) -> io::Result<Self> {
        let fd = open(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        // The first needs CAP_NET_ADMIN in the initial user namespace, the second is limited by `net.core.rmem_max`.
        set_socket_recv_buffer_size_force(&fd, receive_buffer)
            .or_else(|_| set_socket_recv_buffer_size(&fd, receive_buffer))?;
        bind(&fd, &SocketAddrNetlink::new(0, wire::DESTROY_GROUPS))?;
        Ok(Self { fd, sequence: 0, request: Vec::new(), received: vec![0; 4096] })
    }

    /// Returns the descriptor, which is readable when messages wait.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Calls `visit` with each TCP socket of an address family whose state is in `states`. Calls `between` after each part. Returns false if
    /// sockets may be missing, because the list changed.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn list(
        &mut self,
        family: u8,
        states: u32,
        visit: &mut dyn FnMut(&DiagSocket),
        between: &mut dyn FnMut(),
    ) -> Result<bool, Errno> {
        let sequence = self.next_sequence();
        self.request.clear();
        wire::list(&mut self.request, sequence, family, states);
        send(&self.fd, &self.request, SendFlags::empty())?;
        let mut is_whole = true;
        // Each message has at least one socket, and there are fewer than 2^32.
        for _ in 0..u32::MAX {
            let length = receive(&self.fd, &mut self.received)?;
            for message in Messages::new(self.received.get(..length).unwrap_or_default()) {
                if message.sequence != sequence {
                    continue;
                }
                is_whole &= message.flags & DUMP_INTERRUPTED == 0;
                match message.payload {
                    Payload::Data(SOCK_DIAG_BY_FAMILY, body) => {
                        if let Some(socket) = DiagSocket::decode(body) {
                            visit(&socket);
                        }
                    }
                    Payload::Data(..) => {}
                    Payload::Done | Payload::Error(0) => return Ok(is_whole),
                    Payload::Error(error) => return Err(Errno::from_raw_os_error(error)),
                }
            }
            between();
        }
        Ok(false)
    }

    /// Looks up the sockets that have the addresses of these, at most [`BATCH`]. Returns the state of each; `None` if there is none.
    ///
    /// # Errors
    /// The socket is broken.
    pub fn states<'a>(
        &mut self,
        sockets: impl ExactSizeIterator<Item = &'a DiagSocket>,
    ) -> Result<Vec<Option<u8>>, Errno> {
        let first = self.sequence.wrapping_add(1);
        let mut states = vec![None; sockets.len()];
        self.request.clear();
        for socket in sockets {
            self.sequence = self.sequence.wrapping_add(1);
            wire::look_up(&mut self.request, self.sequence, socket);
        }
        send(&self.fd, &self.request, SendFlags::empty())?;
        let mut pending = states.len();
        // Replies to an earlier request may arrive first.
        for _ in 0..4 * BATCH {
            if pending == 0 {
                break;
            }
            let length = receive(&self.fd, &mut self.received)?;
            for message in Messages::new(self.received.get(..length).unwrap_or_default()) {
                let Some(state) = states.get_mut(message.sequence.wrapping_sub(first) as usize) else {
                    continue;
                };
                if let Payload::Data(SOCK_DIAG_BY_FAMILY, body) = message.payload {
                    *state = DiagSocket::decode(body).map(|socket| socket.state);
                }
                pending = pending.saturating_sub(1);
            }
        }
        Ok(states)
    }

    /// Calls `visit` with each socket that ended, until nothing more waits or `at_most` were received.
    pub fn receive_ended(&mut self, at_most: usize, visit: &mut dyn FnMut(Option<DiagSocket>)) -> Received {
        for _ in 0..at_most {
            match receive(&self.fd, &mut self.received) {
                Ok(length) => {
                    for message in Messages::new(self.received.get(..length).unwrap_or_default()) {
                        if let Payload::Data(SOCK_DIAG_BY_FAMILY, body) = message.payload {
                            visit(DiagSocket::decode(body));
                        }
                    }
                }
                Err(Errno::AGAIN) => return Received::Everything,
                Err(Errno::NOBUFS) => return Received::Overflow,
                Err(error) => return Received::Failed(error),
            }
        }
        Received::Limit
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }
}

fn open(flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?)
}

/// Receives the next messages. Repeats interrupted calls. Returns the length.
fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    for _ in 0..16 {
        match recv(fd, &mut *buffer, RecvFlags::empty()) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
            Ok((_, length)) => return Ok(length),
        }
    }
    Err(Errno::INTR)
}
