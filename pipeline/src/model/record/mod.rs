//! [`ConnectionRecord`]: one observation of one connection. Plain data: no strings, names are interned handles.

mod counts;
mod end;
mod event;
mod identity;
mod owner;

use std::num::NonZeroU64;

pub use counts::{Gauges, RoundTrip, Totals};
pub use end::{CloseReason, End, FailReason};
pub use event::{Event, Reporter, Role, TcpState};
pub use identity::{ConnectionId, Endpoint};
pub use owner::{Owner, OwnerSource};

use crate::model::names::{Handle, Service, Workload};
use crate::model::time::UnixNanos;

/// Who the two ends are; filled by processors. `None` is shown as `unknown`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The reporting socket's workload.
    pub local: Option<Handle<Workload>>,
    /// The peer's workload.
    pub peer: Option<Handle<Workload>>,
    /// The service that the client meant.
    pub service: Option<Handle<Service>>,
}

/// One observation of one connection.
///
/// In cache lines of 64 bytes, which processors fetch in pairs: what every stage reads and what processors write is in the first, what
/// windows add up in the second, so that a stage that is given a batch in cold memory waits once per record.
#[derive(Clone, Debug, PartialEq)]
#[repr(C, align(128))]
pub struct ConnectionRecord {
    /// Identity.
    pub id: ConnectionId,
    /// Names.
    pub names: Names,
    /// End of the window that this record belongs to.
    pub tick: UnixNanos,
    /// What is reported.
    pub event: Event,
    /// Which end the reporting socket is.
    pub role: Role,
    /// State at the observation; at the end: the state that was left.
    pub state: TcpState,
    /// First record of this connection.
    pub first: bool,
    /// Bytes were acknowledged since the previous record: the smoothed round trip is fresh.
    pub acked: bool,
    /// False: the connection is older than the receiver (or its open was not seen), `opened` is absent.
    pub start_known: bool,
    /// False where TCP's counters cannot tell the application's bytes (kernel TLS, SMC, sockmap, MPTCP).
    pub exact: bool,
    /// The socket's own family is IPv6 (also for a v4-mapped address, which is shown as IPv4).
    pub ipv6_socket: bool,

    /// Since the previous delivered record of this connection. The first record of a seeded connection has zeros.
    pub delta: Totals,
    /// When the kernel observed this. For an end: when the connection ended.
    pub observed: UnixNanos,

    /// Round trip.
    pub round_trip: RoundTrip,
    /// When the open began (SYN sent, or the child created); fixed for the connection's life. Valid if `start_known`.
    pub opened: UnixNanos,
    /// Owner of the reporting socket.
    pub owner: Owner,

    /// Since the open.
    pub totals: Totals,
    /// From `opened` to ESTABLISHED in nanoseconds; absent if either was not seen.
    pub connect_duration: Option<NonZeroU64>,

    /// Gauges.
    pub gauges: Gauges,
    /// The reporting socket's end.
    pub local: Endpoint,
    /// The other end.
    pub peer: Endpoint,
    /// How it ended; absent while it lives.
    pub end: Option<End>,
    /// `sk_err` at the end; 0: none.
    pub errno: u16,
}

const _: () =
    assert!(size_of::<ConnectionRecord>() == 384 && std::mem::offset_of!(ConnectionRecord, delta) == 64);

// === impl ConnectionRecord ===

impl ConnectionRecord {
    /// An empty update at time 0: a base for tests and decoders.
    pub fn blank() -> Self {
        Self {
            id: ConnectionId::default(),
            event: Event::Update,
            role: Role::Unknown,
            state: TcpState::Unknown,
            first: false,
            exact: true,
            ipv6_socket: false,
            start_known: false,
            errno: 0,
            local: Endpoint::default(),
            peer: Endpoint::default(),
            owner: Owner::default(),
            opened: UnixNanos::default(),
            connect_duration: None,
            observed: UnixNanos::default(),
            tick: UnixNanos::default(),
            totals: Totals::default(),
            delta: Totals::default(),
            round_trip: RoundTrip::default(),
            acked: false,
            gauges: Gauges::default(),
            end: None,
            names: Names::default(),
        }
    }

    /// The client's end (the local one when the role is unknown).
    pub fn source(&self) -> Endpoint {
        if self.role.local_is_source() { self.local } else { self.peer }
    }

    /// The server's end (the peer when the role is unknown).
    pub fn destination(&self) -> Endpoint {
        if self.role.local_is_source() { self.peer } else { self.local }
    }

    /// The client's workload.
    pub fn source_workload(&self) -> Option<&Handle<Workload>> {
        if self.role.local_is_source() { self.names.local.as_ref() } else { self.names.peer.as_ref() }
    }

    /// The server's workload.
    pub fn destination_workload(&self) -> Option<&Handle<Workload>> {
        if self.role.local_is_source() { self.names.peer.as_ref() } else { self.names.local.as_ref() }
    }

    /// From the open to this observation; absent if the start is not known.
    pub fn duration(&self) -> Option<std::time::Duration> {
        self.start_known.then(|| self.observed.since(self.opened))
    }
}
