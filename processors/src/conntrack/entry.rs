//! What the kernel's connection tracking knows of one connection.

use longwave_pipeline::model::{Endpoint, UnixNanos};

use super::translation::Translation;

/// One direction's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tuple {
    pub source: Endpoint,
    pub destination: Endpoint,
}

/// A tracked connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// As the client sends.
    pub original: Tuple,
    /// As the backend sends.
    pub reply: Tuple,
    /// Where TCP stands, as tracking saw it.
    pub state: Option<TrackedState>,
    /// When tracking began; absent unless the sysctl `net.netfilter.nf_conntrack_timestamp` is 1.
    pub started: Option<UnixNanos>,
}

/// `enum tcp_conntrack`, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TrackedState {
    /// The client's SYN was seen (SYN_SENT, SYN_SENT2).
    Opening,
    /// The server's SYN was seen, not yet the client's acknowledgement.
    Answered,
    /// Open.
    Established,
    /// A FIN or a reset was seen.
    Closing,
}

// === impl Tuple ===

impl Tuple {
    /// The other way.
    pub fn reversed(&self) -> Self {
        Self { source: self.destination, destination: self.source }
    }

    /// An end is a loopback address.
    pub fn is_loopback(&self) -> bool {
        self.source.address.is_loopback() || self.destination.address.is_loopback()
    }

    /// Complete, and of one family.
    pub fn can_be_asked(&self) -> bool {
        self.source.port != 0
            && self.destination.port != 0
            && self.source.address.is_ipv4() == self.destination.address.is_ipv4()
    }
}

// === impl Entry ===

impl Entry {
    /// The translation; absent where both directions have the same addresses.
    pub fn translation(&self) -> Option<Translation> {
        (self.reply != self.original.reversed()).then_some(Translation {
            client: self.original.source,
            original: self.original.destination,
            backend: self.reply.source,
            seen: self.reply.destination,
        })
    }
}

// === impl TrackedState ===

impl TrackedState {
    /// From the kernel's number; `None` for what tells nothing.
    pub fn from_kernel(state: u8) -> Option<Self> {
        Some(match state {
            1 | 9 => Self::Opening,
            2 => Self::Answered,
            3 => Self::Established,
            4..=8 => Self::Closing,
            _ => return None,
        })
    }
}
