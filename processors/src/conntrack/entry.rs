//! [`ConntrackEntry`]: one connection in the kernel's connection tracking.

use longwave_pipeline::model::{Endpoint, UnixNanos};

use super::translation::Translation;

/// Addresses of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tuple {
    pub source: Endpoint,
    pub destination: Endpoint,
}

/// A tracked connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConntrackEntry {
    /// The client's direction, before translation.
    pub original: Tuple,
    /// The backend's direction, before its translation.
    pub reply: Tuple,
    /// TCP's state in connection tracking. `None` for states without meaning here.
    pub state: Option<TrackedState>,
    /// Time at which tracking began. `None` unless the sysctl `net.netfilter.nf_conntrack_timestamp` is 1.
    pub started: Option<UnixNanos>,
}

/// TCP's states in connection tracking: `enum tcp_conntrack`, reduced to what [`super::judge`] distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TrackedState {
    /// The client's SYN was seen (SYN_SENT, SYN_SENT2).
    Opening,
    /// The server's SYN was seen, but not yet the client's acknowledgement.
    Answered,
    /// Open.
    Established,
    /// A FIN or a reset was seen.
    Closing,
}

// === impl Tuple ===

impl Tuple {
    /// Returns the opposite direction.
    pub fn reversed(&self) -> Self {
        Self { source: self.destination, destination: self.source }
    }

    /// Returns true if the address of either end is a loopback address.
    pub fn is_loopback(&self) -> bool {
        self.source.address.is_loopback() || self.destination.address.is_loopback()
    }

    /// Returns true if the kernel can look up the tuple: both ports are known, and both addresses are of one family.
    pub fn is_valid(&self) -> bool {
        self.source.port != 0
            && self.destination.port != 0
            && self.source.address.is_ipv4() == self.destination.address.is_ipv4()
    }
}

// === impl ConntrackEntry ===

impl ConntrackEntry {
    /// Returns the translation. `None` if both directions have the same addresses.
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
    /// Converts the kernel's number. `None` for a state without meaning here.
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
