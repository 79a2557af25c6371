//! What limits a connection: the application, the peer's window, the send buffer or the network.

use std::fmt;
use std::num::NonZeroU64;

use crate::model::record::ConnectionRecord;

/// A count that is absent if the kernel lacks it, or if it was not measured. It has 8 bytes, and the default is absent.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct OptionalCount(
    /// The count plus 1.
    Option<NonZeroU64>,
);

/// Cumulative times and counts of a connection, or the differences between two of them. Times are in microseconds, as in `struct tcp_info`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Time with data that the peer had not acknowledged or that was not sent yet (`tcpi_busy_time`).
    pub busy: OptionalCount,
    /// Part of `busy` in which the peer's receive window was full (`tcpi_rwnd_limited`).
    pub peer_window: OptionalCount,
    /// Part of `busy` in which the send buffer was full and everything in it was sent (`tcpi_sndbuf_limited`).
    pub send_buffer: OptionalCount,
    /// Segments received out of order (`tcpi_rcv_ooopack`).
    pub out_of_order: OptionalCount,
    /// Duplicate SACKs received (`tcpi_dsack_dups`): segments that the peer received twice.
    pub duplicate_sacks: OptionalCount,
    /// Segments delivered with a congestion mark, CE of ECN (`tcpi_delivered_ce`).
    pub delivered_ce: OptionalCount,
    /// Retransmission timeouts (`tcpi_total_rto`).
    pub timeouts: OptionalCount,
}

/// What limited one connection or several, and the time for which they were observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObservedLimits {
    /// Sums over the connections.
    pub limits: Limits,
    /// Microseconds, summed over the connections.
    pub connected: OptionalCount,
}

/// What limited a connection, or the connections of a series, for most of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// The application had nothing to send.
    App,
    /// The peer's receive window was full.
    PeerWindow,
    /// The send buffer was too small.
    SendBuffer,
    /// The network: data was under way, or waited for the congestion window or for pacing.
    Network,
}

// === impl OptionalCount ===

impl OptionalCount {
    /// An absent count.
    pub const ABSENT: Self = Self(None);

    /// Creates a count. 2^64 − 1 becomes 2^64 − 2.
    pub const fn new(count: u64) -> Self {
        Self(NonZeroU64::new(count.saturating_add(1)))
    }

    /// Returns the count, or `None` if it is absent.
    pub const fn get(self) -> Option<u64> {
        match self.0 {
            Some(above) => Some(above.get() - 1),
            None => None,
        }
    }

    /// Returns the count, or 0 if it is absent.
    pub const fn or_zero(self) -> u64 {
        match self.get() {
            Some(count) => count,
            None => 0,
        }
    }

    /// Adds `other`. The sum is absent only if both are. Saturates.
    #[inline]
    pub fn add(&mut self, other: Self) {
        let (one, other) = (self.to_bits(), other.to_bits());
        // Each count is stored plus 1. The sum of two counts would be stored plus 2. This has no branches.
        let both = u64::from(one != 0 && other != 0);
        *self = Self::from_bits((one - both).saturating_add(other));
    }

    /// Returns the number that a record file has: the count plus 1, or 0 if it is absent.
    pub(in crate::model) const fn to_bits(self) -> u64 {
        match self.0 {
            Some(above) => above.get(),
            None => 0,
        }
    }

    /// Reads what [`Self::to_bits`] returned.
    pub(in crate::model) const fn from_bits(bits: u64) -> Self {
        Self(NonZeroU64::new(bits))
    }
}

impl From<Option<u64>> for OptionalCount {
    fn from(count: Option<u64>) -> Self {
        count.map_or(Self::ABSENT, Self::new)
    }
}

impl fmt::Debug for OptionalCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

// === impl Limits ===

impl Limits {
    /// Returns the fields in their order.
    pub const fn fields(&self) -> [OptionalCount; 7] {
        [
            self.busy,
            self.peer_window,
            self.send_buffer,
            self.out_of_order,
            self.duplicate_sacks,
            self.delivered_ce,
            self.timeouts,
        ]
    }

    /// Creates limits of fields in their order.
    pub const fn of_fields(fields: [OptionalCount; 7]) -> Self {
        let [busy, peer_window, send_buffer, out_of_order, duplicate_sacks, delivered_ce, timeouts] = fields;
        Self { busy, peer_window, send_buffer, out_of_order, duplicate_sacks, delivered_ce, timeouts }
    }

    /// Adds each field of `other`, see [`OptionalCount::add`].
    #[inline]
    pub fn add(&mut self, other: &Self) {
        self.busy.add(other.busy);
        self.peer_window.add(other.peer_window);
        self.send_buffer.add(other.send_buffer);
        self.out_of_order.add(other.out_of_order);
        self.duplicate_sacks.add(other.duplicate_sacks);
        self.delivered_ce.add(other.delivered_ce);
        self.timeouts.add(other.timeouts);
    }

    /// Returns what limited a connection, or several, for most of the time `connected`, in microseconds of all connections together.
    ///
    /// - `peer window` and `send buffer` are the times of these names.
    /// - `network` is the rest of the busy time.
    /// - `app` is the time that was not busy.
    ///
    /// The longest time decides, which is returned, too. If times are equal, the first in the order of [`Limit`] does. `None` if the times are
    /// absent, or all 0.
    pub fn longest(&self, connected: OptionalCount) -> Option<(Limit, u64)> {
        let (busy, connected) = (self.busy.get()?, connected.get()?);
        let (peer_window, send_buffer) = (self.peer_window.or_zero(), self.send_buffer.or_zero());
        let network = busy.saturating_sub(peer_window).saturating_sub(send_buffer);
        let times = [
            (Limit::App, connected.saturating_sub(busy)),
            (Limit::PeerWindow, peer_window),
            (Limit::SendBuffer, send_buffer),
            (Limit::Network, network),
        ];
        times.into_iter().rev().max_by_key(|(_, time)| *time).filter(|(_, time)| *time > 0)
    }

    /// Returns the limit of [`Self::longest`].
    pub fn dominant(&self, connected: OptionalCount) -> Option<Limit> {
        self.longest(connected).map(|(limit, _)| limit)
    }
}

// === impl ObservedLimits ===

impl ObservedLimits {
    /// Returns what a record adds to those of its connection.
    pub fn of_deltas(record: &ConnectionRecord) -> Self {
        Self { limits: record.limits.delta(), connected: record.elapsed }
    }

    /// Adds those of other connections, or of another time.
    pub fn add(&mut self, other: &Self) {
        self.limits.add(&other.limits);
        self.connected.add(other.connected);
    }

    /// Returns those of the end of a flow that was busy for longer: the other one mostly receives.
    pub fn of_sender(self, other: Self) -> Self {
        if other.limits.busy.get() > self.limits.busy.get() { other } else { self }
    }

    /// Returns what limited the connections for most of the time, and this time in microseconds. See [`Limits::longest`].
    pub fn longest(&self) -> Option<(Limit, u64)> {
        self.limits.longest(self.connected)
    }

    /// Returns the limit of [`Self::longest`].
    pub fn dominant(&self) -> Option<Limit> {
        self.limits.dominant(self.connected)
    }
}

// === impl Limit ===

impl Limit {
    /// All limits, in their order.
    pub const ALL: [Self; 4] = [Self::App, Self::PeerWindow, Self::SendBuffer, Self::Network];

    /// Returns the name that tables and lines show.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::PeerWindow => "peer window",
            Self::SendBuffer => "send buffer",
            Self::Network => "network",
        }
    }
}

#[cfg(test)]
mod tests;
