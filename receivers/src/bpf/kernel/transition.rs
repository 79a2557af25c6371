//! Typed records of the ring buffers.

use longwave_ebpf_abi::{
    ConnectionEvent, LAYOUT_VERSION, LimitCounters, ListenEvent, Owner, SHORT_EVENT_LEN, flag, kind,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::tracking::Transition;

impl<'a> Transition<'a> {
    /// Parses a record. Returns `None` if its size, version or kind is unknown. `whole` is memory for an event without limits.
    pub fn parse(record: &'a [u8], whole: &'a mut ConnectionEvent) -> Option<Self> {
        match record.get(2).copied()? {
            kind::OPEN | kind::CLOSE => connection(record, whole).map(Self::Connection),
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

/// Parses a record as a connection's event. Returns `None` if its size or version is unknown, or if its size does not match its flags.
///
/// An event without limits is copied to `whole`, whose limits become 0.
pub fn connection<'a>(record: &'a [u8], whole: &'a mut ConnectionEvent) -> Option<&'a ConnectionEvent> {
    let event = if record.len() == SHORT_EVENT_LEN && has_known_layout(record) {
        whole.limits = LimitCounters::default();
        whole.as_mut_bytes()[..SHORT_EVENT_LEN].copy_from_slice(record);
        whole
    } else {
        view(record)?
    };
    ((event.flags & flag::LIMITS != 0) == (record.len() > SHORT_EVENT_LEN)).then_some(event)
}

/// Views a record as an event. Returns `None` if its length, alignment or layout version is another one.
fn view<T: FromBytes + Immutable + KnownLayout>(record: &[u8]) -> Option<&T> {
    if has_known_layout(record) { T::ref_from_bytes(record).ok() } else { None }
}

fn has_known_layout(record: &[u8]) -> bool {
    record.first_chunk().is_some_and(|version| u16::from_ne_bytes(*version) == LAYOUT_VERSION)
}
