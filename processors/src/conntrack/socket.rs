//! A netlink socket to one network namespace's connection tracking.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_recv_buffer_size_force, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

use super::entry::{Entry, Tuple};
use super::wire::{self, Messages, Payload};

/// Questions sent together: their answers (about 5 KB each while they wait) fit into the smallest receive buffer.
const TOGETHER: usize = 32;
/// The kernel makes no longer messages.
const LONGEST: usize = 32 * 1024;
/// The kernel answers while it is asked; this is for what nobody foresaw.
const PATIENCE: Duration = Duration::from_secs(1);
/// For a list of all connections, which comes faster than it is read.
const RECEIVE_BUFFER: usize = 1 << 20;

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "most are found")]
pub(super) enum Looked {
    /// This entry.
    Found(Entry),
    /// No entry.
    Missing,
    /// The kernel said something else.
    Failed,
}

/// Stays in the namespace that the thread was in when it was opened, and keeps it alive: close it soon, unless that is the host's.
pub(super) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    request: Vec<u8>,
    received: Vec<u8>,
}

// === impl Socket ===

impl Socket {
    /// In the calling thread's namespace.
    pub fn open() -> io::Result<Self> {
        let kind = (AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC);
        let fd = socket_with(kind.0, kind.1, kind.2, Some(netlink::NETFILTER))?;
        set_socket_timeout(&fd, Timeout::Recv, Some(PATIENCE))?;
        // Not granted everywhere, and only a convenience.
        let _ = set_socket_recv_buffer_size_force(&fd, RECEIVE_BUFFER);
        Ok(Self { fd, sequence: 0, request: Vec::new(), received: vec![0; LONGEST] })
    }

    /// Looks connections up, each by one of its directions; one answer each, in order.
    ///
    /// # Errors
    /// The kernel answers nobody here (`EPERM`: no CAP_NET_ADMIN), or the socket is broken: open another.
    pub fn get(&mut self, tuples: &[Tuple]) -> Result<Vec<Looked>, Errno> {
        let mut answers = Vec::with_capacity(tuples.len());
        for tuples in tuples.chunks(TOGETHER) {
            let first = self.sequence.wrapping_add(1);
            self.request.clear();
            for tuple in tuples {
                self.sequence = self.sequence.wrapping_add(1);
                wire::get(&mut self.request, self.sequence, tuple);
            }
            send(&self.fd, &self.request, SendFlags::empty())?;
            let mut looked = vec![None; tuples.len()];
            let mut open = tuples.len();
            // What is left of an earlier question may come between.
            for _ in 0..4 * TOGETHER {
                if open == 0 {
                    break;
                }
                for message in Messages::new(receive(&self.fd, &mut self.received)?) {
                    let index = message.sequence.wrapping_sub(first) as usize;
                    let Some(slot) = looked.get_mut(index).filter(|slot| slot.is_none()) else { continue };
                    *slot = Some(match message.payload {
                        Payload::Entry(entry) => Looked::Found(entry),
                        Payload::Error(error) if error == Errno::NOENT.raw_os_error() => Looked::Missing,
                        Payload::Error(error) if is_final(error) => {
                            return Err(Errno::from_raw_os_error(error));
                        }
                        _ => Looked::Failed,
                    });
                    open -= 1;
                }
            }
            answers.extend(looked.into_iter().map(|looked| looked.unwrap_or(Looked::Failed)));
        }
        Ok(answers)
    }

    /// How many connections the namespace tracks.
    ///
    /// # Errors
    /// As for [`Socket::get`]; `EINVAL` and its like: the kernel cannot tell.
    pub fn count(&mut self) -> Result<u32, Errno> {
        self.sequence = self.sequence.wrapping_add(1);
        self.request.clear();
        wire::count(&mut self.request, self.sequence);
        send(&self.fd, &self.request, SendFlags::empty())?;
        for _ in 0..4 * TOGETHER {
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

    /// Shows all TCP connections of the namespace to `visit`.
    ///
    /// # Errors
    /// As for [`Socket::get`].
    pub fn dump(&mut self, mut visit: impl FnMut(Entry)) -> Result<(), Errno> {
        self.sequence = self.sequence.wrapping_add(1);
        self.request.clear();
        wire::dump(&mut self.request, self.sequence);
        send(&self.fd, &self.request, SendFlags::empty())?;
        // Each message brings at least one entry, of at most the 2^32 that the table may have; in truth about a hundred.
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

/// What the next call brings.
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

/// The namespace answers no question at all.
fn is_final(error: i32) -> bool {
    [Errno::PERM, Errno::INVAL, Errno::OPNOTSUPP, Errno::NOSYS]
        .iter()
        .any(|errno| errno.raw_os_error() == error)
}
