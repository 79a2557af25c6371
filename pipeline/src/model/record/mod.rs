//! [`ConnectionRecord`]: one observation of one connection. It has no strings: its names are interned handles.

mod connection_limits;
mod counts;
mod end;
mod event;
mod identity;
mod limits;
mod owner;

use std::num::NonZeroU64;

pub use connection_limits::{ConnectionLimits, LimitDetails};
pub use counts::{Gauges, RoundTrip, Totals, is_lossy, share_of_data};
pub use end::{CloseReason, End, FailReason};
pub use event::{Event, Reporter, Role, TcpState};
pub use identity::{ConnectionId, Endpoint};
pub use limits::{Limit, Limits, ObservedLimits, OptionalCount};
pub use owner::{Owner, OwnerSource};

use crate::model::names::{Handle, Service, Workload};
use crate::model::time::UnixNanos;

/// The workloads of the two ends and the service between them. Processors add them; exporters report `None` as `unknown`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Workload of the reporting socket.
    pub local: Option<Handle<Workload>>,
    /// Workload of the peer.
    pub peer: Option<Handle<Workload>>,
    /// Service that the client connected to.
    pub service: Option<Handle<Service>>,
}

/// One observation of one connection.
///
/// The fields are ordered by use, because a CPU fetches cache lines of 64 bytes in pairs. The first line contains what every stage reads
/// and what processors write, the second and the third contain what windows sum.
#[derive(Clone, Debug, PartialEq)]
#[repr(C, align(128))]
pub struct ConnectionRecord {
    /// Identity of the connection.
    pub id: ConnectionId,
    /// Names of the ends and of the service.
    pub names: Names,
    /// End of the window that this record belongs to.
    pub tick: UnixNanos,
    /// Why the record exists.
    pub event: Event,
    /// Role of the reporting socket.
    pub role: Role,
    /// TCP state at the observation. In the last record: the state before the close.
    pub state: TcpState,
    /// Whether this is the first record of the connection.
    pub first: bool,
    /// Whether bytes were acknowledged since the previous record, so that the smoothed round trip is a new sample.
    pub acked: bool,
    /// Whether `opened` is valid. False for a seeded connection, or when the open was not observed.
    pub start_known: bool,
    /// Whether the bytes are exactly those of the application. False with kernel TLS, SMC, sockmap and MPTCP, where TCP counts others; and with
    /// the receiver `sock_diag` if sent or received bytes may be off by one.
    pub exact: bool,
    /// Whether the socket's family is IPv6. True also for a v4-mapped address, which is reported as IPv4.
    pub ipv6_socket: bool,

    /// Counts since the last record of the connection that was delivered. Zeros in the first record of a seeded connection.
    pub delta: Totals,
    /// Time of the observation by the wall clock. In the last record: time of the close. Smaller than in an earlier record of the connection
    /// if the clock was set back.
    pub observed: UnixNanos,

    /// Round-trip times.
    pub round_trip: RoundTrip,
    /// What limited the connection.
    pub limits: ConnectionLimits,
    /// Time since the last record of the connection that was delivered, in microseconds: the time of the deltas. In the first record it is
    /// the time since the open; 0 for a seeded connection and for a failed connect.
    pub elapsed: OptionalCount,
    /// Time of the open: the SYN was sent, or the child socket was created. The same in all records. Valid if `start_known`.
    pub opened: UnixNanos,
    /// Owner of the reporting socket.
    pub owner: Owner,
    /// Address and port of the reporting socket.
    pub local: Endpoint,
    /// Address and port of the peer.
    pub peer: Endpoint,

    /// Counts since the open.
    pub totals: Totals,
    /// Time from `opened` to ESTABLISHED in nanoseconds. `None` if either was not observed.
    pub connect_duration: Option<NonZeroU64>,
    /// Time from the open to the observation in nanoseconds, measured by a clock that is never set. It differs from `observed` − `opened` if
    /// the wall clock was set in between. Valid if `start_known`.
    pub age: u64,
    /// Values at the time of the observation.
    pub gauges: Gauges,
    /// How the connection stopped. `None` while it is open.
    pub end: Option<End>,
    /// `sk_err` at the close; 0 without an error.
    pub errno: u16,
}

const _: () =
    assert!(size_of::<ConnectionRecord>() == 384 && std::mem::offset_of!(ConnectionRecord, delta) == 64);

// === impl ConnectionRecord ===

impl ConnectionRecord {
    /// Returns an empty update at time 0, for tests and decoders to fill in.
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
            age: 0,
            observed: UnixNanos::default(),
            tick: UnixNanos::default(),
            totals: Totals::default(),
            delta: Totals::default(),
            round_trip: RoundTrip::default(),
            acked: false,
            gauges: Gauges::default(),
            limits: ConnectionLimits::default(),
            elapsed: OptionalCount::ABSENT,
            end: None,
            names: Names::default(),
        }
    }

    /// Returns the client's address, or the local one if the role is unknown.
    pub fn source(&self) -> Endpoint {
        if self.role.local_is_source() { self.local } else { self.peer }
    }

    /// Returns the server's address, or the peer's if the role is unknown.
    pub fn destination(&self) -> Endpoint {
        if self.role.local_is_source() { self.peer } else { self.local }
    }

    /// Returns the workload of [`Self::source`].
    pub fn source_workload(&self) -> Option<&Handle<Workload>> {
        if self.role.local_is_source() { self.names.local.as_ref() } else { self.names.peer.as_ref() }
    }

    /// Returns the workload of [`Self::destination`].
    pub fn destination_workload(&self) -> Option<&Handle<Workload>> {
        if self.role.local_is_source() { self.names.peer.as_ref() } else { self.names.local.as_ref() }
    }

    /// Returns the time from the open to this observation. `None` if the start is unknown.
    pub fn duration(&self) -> Option<std::time::Duration> {
        self.start_known.then(|| std::time::Duration::from_nanos(self.age))
    }
}
