//! What the ring buffers carry, typed.

use longwave_ebpf_abi::{ConnectionEvent, LAYOUT_VERSION, ListenEvent, kind};

/// An event of the transitions ring.
#[derive(Clone, Copy, Debug)]
pub enum Transition<'a> {
    /// OPEN or CLOSE.
    Connection(&'a ConnectionEvent),
    /// LISTEN or UNLISTEN.
    Listen(&'a ListenEvent),
}

impl<'a> Transition<'a> {
    /// Recognizes a record; None for one that no program of ours writes.
    pub fn parse(record: &'a [u8]) -> Option<Self> {
        match record.get(2).copied()? {
            kind::OPEN | kind::CLOSE => connection(record).map(Self::Connection),
            kind::LISTEN | kind::UNLISTEN => view::<ListenEvent>(record).map(Self::Listen),
            _ => None,
        }
    }
}

/// A connection's event.
pub fn connection(record: &[u8]) -> Option<&ConnectionEvent> {
    view(record)
}

/// Plain data without padding, of which any bytes are a value.
trait Event {}
impl Event for ConnectionEvent {}
impl Event for ListenEvent {}

fn view<T: Event>(record: &[u8]) -> Option<&T> {
    let fits = record.len() == size_of::<T>() && record.as_ptr().cast::<T>().is_aligned();
    let version = u16::from_ne_bytes([*record.first()?, *record.get(1)?]);
    // SAFETY: size and alignment were checked, and any bytes are an event.
    (fits && version == LAYOUT_VERSION).then(|| unsafe { &*record.as_ptr().cast::<T>() })
}
