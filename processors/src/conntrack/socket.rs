//! [`Socket`]: a netlink socket to the connection tracking of one network namespace.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_recv_buffer_size_force, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

use super::entry::{ConntrackEntry, Tuple};
use super::wire::{self, Messages, Payload};

/// Number of requests sent together. Their replies (about 5 KB each in the kernel) fit into the smallest receive buffer.
const BATCH: usize = 32;
/// Size of the kernel's longest message in bytes.
const MAX_MESSAGE: usize = 32 * 1024;
/// Time limit of a receive. A precaution, because the kernel replies within the call that sends the request.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Size of the receive buffer in bytes, for a list of all connections, which arrives faster than it is read.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Result of one look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "most are found")]
pub(super) enum LookupResult {
    /// There is an entry.
    Found(ConntrackEntry),
    /// There is no entry.
    Missing,
    /// The kernel replied with an unexpected message, or not at all.
    Failed,
}

/// A socket of the namespace in which it was opened. It keeps that namespace alive, so it must be closed soon, unless that is the host's.
pub(super) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    request: Vec<u8>,
    received: Vec<u8>,
}

// === impl Socket ===

impl Socket {
    /// Opens a socket in the calling thread's namespace.
    pub fn open() -> io::Result<Self> {
        let kind = (AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC);
        let fd = socket_with(kind.0, kind.1, kind.2, Some(netlink::NETFILTER))?;
        set_socket_timeout(&fd, Timeout::Recv, Some(TIMEOUT))?;
        // Needs CAP_NET_ADMIN in the initial user namespace. The default size is sufficient for look-ups.
        let _ = set_socket_recv_buffer_size_force(&fd, RECEIVE_BUFFER);
        Ok(Self { fd, sequence: 0, request: Vec::new(), received: vec![0; MAX_MESSAGE] })
    }

    /// Looks up connections, each by one of its directions. Returns one result for each, in order.
    ///
    /// # Errors
    /// The kernel refuses every request here (`EPERM`: no CAP_NET_ADMIN), or the socket is broken and has to be replaced.
    pub fn get(&mut self, tuples: &[Tuple]) -> Result<Vec<LookupResult>, Errno> {
        let mut results = Vec::with_capacity(tuples.len());
        for tuples in tuples.chunks(BATCH) {
            let first = self.sequence.wrapping_add(1);
            self.request.clear();
            for tuple in tuples {
                self.sequence = self.sequence.wrapping_add(1);
                wire::get(&mut self.request, self.sequence, tuple);
            }
            send(&self.fd, &self.request, SendFlags::empty())?;
            let mut found = vec![None; tuples.len()];
            let mut pending = tuples.len();
            // Replies to an earlier request may arrive first.
            for _ in 0..4 * BATCH {
                if pending == 0 {
                    break;
                }
                for message in Messages::new(receive(&self.fd, &mut self.received)?) {
                    let index = message.sequence.wrapping_sub(first) as usize;
                    let Some(slot) = found.get_mut(index).filter(|slot| slot.is_none()) else { continue };
                    *slot = Some(match message.payload {
                        Payload::Entry(entry) => LookupResult::Found(entry),
                        Payload::Error(error) if error == Errno::NOENT.raw_os_error() => {
                            LookupResult::Missing
                        }
                        Payload::Error(error) if is_final(error) => {
                            return Err(Errno::from_raw_os_error(error));
                        }
                        _ => LookupResult::Failed,
                    });
                    pending -= 1;
                }
            }
            results.extend(found.into_iter().map(|result| result.unwrap_or(LookupResult::Failed)));
        }
        Ok(results)
    }

    /// Returns the number of connections that the namespace tracks.
    ///
    /// # Errors
    /// As for [`Socket::get`]. `EINVAL`, `EOPNOTSUPP` or `ENOSYS`: the kernel does not support the request.
    pub fn count(&mut self) -> Result<u32, Errno> {
        self.sequence = self.sequence.wrapping_add(1);
        self.request.clear();
        wire::count(&mut self.request, self.sequence);
        send(&self.fd, &self.request, SendFlags::empty())?;
        for _ in 0..4 * BATCH {
            let sequence = self.sequence;
            let mut messages = Messages::new(receive(&self.fd, &mut self.received)?);
            match messages.find(|message| message.sequence == sequence).map(|message| message.payload) {
                Some(Payload::Count(count)) => return Ok(count),
                Some(Payload::Error(error)) => return Err(Errno::from_raw_os_error(error)),
                _ => {}
            }
        }
        Err(Errno::PROTO)
    }

    /// Calls `visit` with each TCP connection of the namespace.
    ///
    /// # Errors
    /// As for [`Socket::get`].
    pub fn dump(&mut self, mut visit: impl FnMut(ConntrackEntry)) -> Result<(), Errno> {
        self.sequence = self.sequence.wrapping_add(1);
        self.request.clear();
        wire::dump(&mut self.request, self.sequence);
        send(&self.fd, &self.request, SendFlags::empty())?;
        // Each received message contains at least one entry (usually about a hundred), and the table has at most 2^32.
        for _ in 0..u32::MAX {
            for message in Messages::new(receive(&self.fd, &mut self.received)?) {
                if message.sequence != self.sequence {
                    continue;
                }
                match message.payload {
                    Payload::Entry(entry) => visit(entry),
                    Payload::Done | Payload::Error(0) => return Ok(()),
                    Payload::Error(error) => return Err(Errno::from_raw_os_error(error)),
                    Payload::Count(_) | Payload::Other => {}
                }
            }
        }
        Ok(())
    }
}

/// Receives the next messages. Repeats interrupted calls.
fn receive<'a>(fd: &OwnedFd, buffer: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    for _ in 0..16 {
        match recv(fd, &mut *buffer, RecvFlags::empty()) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
            Ok((_, length)) => return Ok(buffer.get(..length).unwrap_or_default()),
        }
    }
    Err(Errno::INTR)
}

/// Returns true if the namespace refuses every request with this errno.
fn is_final(error: i32) -> bool {
    [Errno::PERM, Errno::INVAL, Errno::OPNOTSUPP, Errno::NOSYS]
        .iter()
        .any(|errno| errno.raw_os_error() == error)
}
