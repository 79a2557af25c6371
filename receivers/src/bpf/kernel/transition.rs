//! Typed records of the ring buffers.

use longwave_ebpf_abi::{ConnectionEvent, LAYOUT_VERSION, ListenEvent, Owner, kind};
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// Event of the transitions ring.
#[derive(Clone, Copy, Debug)]
pub enum Transition<'a> {
    /// The kind is OPEN or CLOSE.
    Connection(&'a ConnectionEvent),
    /// The kind is LISTEN or UNLISTEN.
    Listen(&'a ListenEvent),
}

impl<'a> Transition<'a> {
    /// Parses a record. Returns `None` if its size, version or kind is unknown.
    pub fn parse(record: &'a [u8]) -> Option<Self> {
        match record.get(2).copied()? {
            kind::OPEN | kind::CLOSE => connection(record).map(Self::Connection),
            kind::LISTEN | kind::UNLISTEN => view::<ListenEvent>(record).map(Self::Listen),
            _ => None,
        }
    }

    /// Returns the owner of the socket.
    pub fn owner(&self) -> &'a Owner {
        match self {
            Self::Connection(event) => &event.owner,
            Self::Listen(event) => &event.owner,
        }
    }
}

/// Parses a record as a connection's event. Returns `None` if its size or version is unknown.
pub fn connection(record: &[u8]) -> Option<&ConnectionEvent> {
    view(record)
}

/// Views a record as an event. Returns `None` if its length, alignment or layout version is another one.
fn view<T: FromBytes + Immutable + KnownLayout>(record: &[u8]) -> Option<&T> {
    let version = u16::from_ne_bytes(*record.first_chunk()?);
    if version != LAYOUT_VERSION {
        return None;
    }
    T::ref_from_bytes(record).ok()
}
