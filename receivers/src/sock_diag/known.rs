//! State of each connection between two lists.

use std::hash::{BuildHasher, Hasher};

use longwave_ebpf_abi::{ConnectionEvent, flag};
use longwave_pipeline::model::TcpState;

use super::event::{SOCK_DONE, limit_sent};
use super::listening::ListeningSockets;
use super::wire::DiagSocket;
use crate::tracking::tracker::opened_actively;

/// State of a connection that was in a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KnownConnection {
    /// As in [`ConnectionEvent::generation`]. Not 0 if a list showed the connect, or if the socket had another connection before.
    pub generation: u64,
    /// Hash of addresses and ports.
    tuple: u32,
    /// Inode of the network namespace.
    pub netns: u32,
    /// Number of the last list that had it.
    pub last_pass: u32,
    /// Inode of the descriptor; 0 if no process has one.
    pub inode: u32,
    marks: u8,
    /// Number of lists that had it, up to 255.
    pub passes: u8,
}

/// Bits of a [`KnownConnection`].
pub(super) mod mark {
    /// The local end is the client.
    pub const CLIENT: u8 = 1 << 0;
    /// The local end is the server.
    pub const SERVER: u8 = 1 << 1;
    /// A list showed SYN_SENT.
    pub const START_KNOWN: u8 = 1 << 2;
    /// The connection is not established yet.
    pub const CONNECTING: u8 = 1 << 3;
    /// The peer's FIN was received.
    pub const FIN_RECEIVED: u8 = 1 << 4;
    /// The process was looked up.
    pub const LOOKED_UP: u8 = 1 << 5;
    /// Its last record was sent. It waits for the kernel's message, which is then ignored.
    pub const GONE: u8 = 1 << 6;
}

// === impl KnownConnection ===

impl KnownConnection {
    /// Creates the state of a connection. `generation` is the time of its open, or 0.
    pub fn new(socket: &DiagSocket, netns: u32, generation: u64, hasher: &impl BuildHasher) -> Self {
        Self { generation, netns, tuple: hash(socket, hasher), ..Self::default() }
    }

    pub fn has(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    pub fn set(&mut self, mark: u8) {
        self.marks |= mark;
    }

    pub fn clear(&mut self, mark: u8) {
        self.marks &= !mark;
    }

    /// Returns whether the socket still has the connection that it had in its last list.
    pub fn is_same(&self, socket: &DiagSocket, hasher: &impl BuildHasher) -> bool {
        self.tuple == hash(socket, hasher)
    }

    /// Returns whether the local end is the client. `None` if unknown.
    pub fn is_client(&self) -> Option<bool> {
        match (self.has(mark::CLIENT), self.has(mark::SERVER)) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }

    /// Updates the state from the sample of a socket, and completes the sample from the state.
    pub fn observe(
        &mut self,
        sample: &mut ConnectionEvent,
        socket: &DiagSocket,
        pass: u32,
        listening: &ListeningSockets,
    ) {
        self.inode = socket.inode;
        self.last_pass = pass;
        self.passes = self.passes.saturating_add(1);
        if sample.sk_flags & SOCK_DONE != 0 {
            self.set(mark::FIN_RECEIVED);
        }
        if sample.state == TcpState::SynSent as u8 {
            self.set(mark::CLIENT | mark::CONNECTING);
        }
        if self.is_client().is_none() {
            match opened_actively(sample) {
                Some(true) => self.set(mark::CLIENT),
                Some(false) => self.set(mark::SERVER),
                None => {}
            }
        }
        self.complete(sample);
        if let Some(handed_down) = socket.info.and_then(|info| info.handed_down_once()) {
            let may_have_sent_syn =
                self.is_client().unwrap_or_else(|| !listening.has(self.netns, socket.local_port));
            limit_sent(sample, handed_down, may_have_sent_syn);
        }
    }

    /// Adds generation, start and role to an event of the connection.
    pub fn complete(&self, event: &mut ConnectionEvent) {
        event.generation = self.generation;
        if self.has(mark::START_KNOWN) {
            event.flags |= flag::START_KNOWN;
        }
        if let Some(is_client) = self.is_client() {
            event.flags |= if is_client { flag::CLIENT } else { flag::SERVER };
        }
    }
}

fn hash(socket: &DiagSocket, hasher: &impl BuildHasher) -> u32 {
    let mut state = hasher.build_hasher();
    state.write(&socket.local);
    state.write(&socket.peer);
    state.write_u32(u32::from(socket.local_port) << 16 | u32::from(socket.peer_port));
    state.finish() as u32
}
