//! [`ConnectionRecord`]: one observation of one connection. Plain data: no strings, names are interned handles.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU64;

use crate::names::{Handle, Service, Workload};

/// Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNanos(pub u64);

/// What tells one connection from every other one of this host, for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    /// First 32 bits of the kernel's boot id: cookies start again at each boot.
    pub boot: u32,
    /// Inode of the network namespace that the socket is in.
    pub netns: u32,
    /// Socket cookie (`SO_COOKIE`).
    pub cookie: u64,
    /// Monotonic nanoseconds of the open; 0 for a connection that is older than the receiver. A reconnected socket keeps its cookie.
    pub generation: u64,
}

/// What the record reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Event {
    /// ESTABLISHED was reached.
    Open = 1,
    /// The state at a tick.
    Update = 2,
    /// The connection's end: totals are final.
    Close = 3,
    /// An active open that never reached ESTABLISHED.
    Fail = 4,
    /// The socket was found gone without a close event; totals are the last known.
    Vanished = 5,
}

/// Which end of the connection the reporting socket is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// Not known (a seeded connection whose handshake left no trace).
    #[default]
    Unknown = 0,
    /// The socket opened actively.
    Client = 1,
    /// The socket was accepted.
    Server = 2,
}

/// An address and a port. A v4-mapped IPv6 address is stored as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Address.
    pub address: IpAddr,
    /// Port; 0 where the kernel did not know it yet.
    pub port: u16,
}

/// Where the owner is known from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OwnerSource {
    /// Nobody could tell.
    #[default]
    Unknown = 0,
    /// The socket's own cgroup.
    Socket = 1,
    /// The cgroup of the process that holds or opened it.
    Holder = 2,
    /// The process that listens on the local end.
    Listener = 3,
    /// The pod of the network namespace.
    Namespace = 4,
}

/// The process and cgroup that the socket belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// cgroup2 id (the cgroup directory's inode); 0: unknown.
    pub cgroup: u64,
    /// Process id in the initial pid namespace; 0: unknown, or several processes share the socket.
    pub pid: u32,
    /// Where `cgroup` is known from.
    pub source: OwnerSource,
    /// Executable name (`comm`), NUL-padded; all zero: unknown.
    pub name: [u8; 16],
}

/// Cumulative counts, or differences of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Unique payload bytes put on the wire.
    pub sent_bytes: u64,
    /// Payload bytes received in order.
    pub received_bytes: u64,
    /// Segments sent, with or without data.
    pub sent_segments: u64,
    /// Segments received, with or without data.
    pub received_segments: u64,
    /// Segments with data sent.
    pub data_segments: u64,
    /// Segments retransmitted.
    pub retransmits: u64,
    /// Segments that the stack took for lost.
    pub lost: u64,
}

/// Round-trip times in nanoseconds; absent until there is a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoundTrip {
    /// Smoothed round trip.
    pub smoothed: Option<NonZeroU64>,
    /// Mean deviation.
    pub variance: Option<NonZeroU64>,
    /// Minimum over the connection's life.
    pub minimum: Option<NonZeroU64>,
}

/// Values of the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Bytes written by the application and not sent.
    pub unsent_bytes: u64,
    /// Bytes received and not read by the application.
    pub unread_bytes: u64,
    /// Bytes sent and not acknowledged.
    pub in_flight_bytes: u64,
    /// Delivery rate, bytes per second; 0: no sample.
    pub delivery_rate: u64,
    /// Congestion window, segments.
    pub cwnd: u32,
    /// Maximum segment size, bytes.
    pub mss: u32,
}

/// States of a TCP socket, numbered as the kernel numbers them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "RFC 9293 documents them")]
pub enum TcpState {
    #[default]
    Unknown = 0,
    Established = 1,
    SynSent = 2,
    SynRecv = 3,
    FinWait1 = 4,
    FinWait2 = 5,
    TimeWait = 6,
    Close = 7,
    CloseWait = 8,
    LastAck = 9,
    Listen = 10,
    Closing = 11,
    NewSynRecv = 12,
}

/// Why an established connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum CloseReason {
    /// Both ends closed in order.
    Fin = 1,
    /// The peer sent a reset.
    ResetReceived = 2,
    /// This end sent a reset (linger 0, or unread data at close).
    ResetSent = 3,
    /// Retransmissions, keepalives or the user timeout gave up.
    Timeout = 4,
    /// Ended locally, in another way.
    Aborted = 5,
    /// The socket was found gone.
    Vanished = 6,
}

/// Why an active open failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailReason {
    /// The peer refused (ECONNREFUSED).
    Refused,
    /// No answer (ETIMEDOUT).
    Timeout,
    /// No route, or a router said so (EHOSTUNREACH, ENETUNREACH, …).
    Unreachable,
    /// Reset during the handshake (ECONNRESET).
    Reset,
    /// No local address or port (EADDRNOTAVAIL).
    AddressUnavailable,
    /// The application gave up (closed or disconnected the socket while connecting).
    Cancelled,
    /// Another errno, by number.
    Errno(u16),
}

/// How the connection ended; only in the last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Established, then ended.
    Closed(CloseReason),
    /// Never established.
    Failed(FailReason),
}

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
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionRecord {
    /// Identity.
    pub id: ConnectionId,
    /// What is reported.
    pub event: Event,
    /// Which end the reporting socket is.
    pub role: Role,
    /// State at the observation; at the end: the state that was left.
    pub state: TcpState,
    /// First record of this connection.
    pub first: bool,
    /// False where TCP's counters cannot tell the application's bytes (kernel TLS, SMC, sockmap, MPTCP).
    pub exact: bool,
    /// The socket's own family is IPv6 (also for a v4-mapped address, which is shown as IPv4).
    pub ipv6_socket: bool,
    /// False: the connection is older than the receiver (or its open was not seen), `opened` is absent.
    pub start_known: bool,
    /// `sk_err` at the end; 0: none.
    pub errno: u16,
    /// The reporting socket's end.
    pub local: Endpoint,
    /// The other end.
    pub peer: Endpoint,
    /// Owner of the reporting socket.
    pub owner: Owner,
    /// When the open began (SYN sent, or the child created); fixed for the connection's life. Valid if `start_known`.
    pub opened: UnixNanos,
    /// From `opened` to ESTABLISHED in nanoseconds; absent if either was not seen.
    pub connect_duration: Option<NonZeroU64>,
    /// When the kernel observed this. For an end: when the connection ended.
    pub observed: UnixNanos,
    /// End of the window that this record belongs to.
    pub tick: UnixNanos,
    /// Since the open.
    pub totals: Totals,
    /// Since the previous delivered record of this connection. The first record of a seeded connection has zeros.
    pub delta: Totals,
    /// Round trip.
    pub round_trip: RoundTrip,
    /// Bytes were acknowledged since the previous record: the smoothed round trip is fresh.
    pub acked: bool,
    /// Gauges.
    pub gauges: Gauges,
    /// How it ended; absent while it lives.
    pub end: Option<End>,
    /// Names.
    pub names: Names,
}

// === impl UnixNanos ===

impl UnixNanos {
    /// The distance to an earlier time, 0 where `earlier` is later.
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

// === impl ConnectionId ===

impl ConnectionId {
    /// The part of a boot id (`/proc/sys/kernel/random/boot_id`) that is kept in `boot`: its first eight hex digits.
    pub fn boot_of(boot_id: &str) -> Option<u32> {
        u32::from_str_radix(boot_id.trim().get(..8)?, 16).ok()
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:x}-{:x}", self.boot, self.cookie, self.generation)
    }
}

// === impl Event ===

impl Event {
    /// The last record of its connection.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Close | Self::Fail | Self::Vanished)
    }

    /// `open`, `update`, `close`, `fail`, `vanished`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Update => "update",
            Self::Close => "close",
            Self::Fail => "fail",
            Self::Vanished => "vanished",
        }
    }

    /// `longwave.tcp.connection.<event>`.
    pub fn event_name(self) -> &'static str {
        match self {
            Self::Open => "longwave.tcp.connection.open",
            Self::Update => "longwave.tcp.connection.update",
            Self::Close => "longwave.tcp.connection.close",
            Self::Fail => "longwave.tcp.connection.fail",
            Self::Vanished => "longwave.tcp.connection.vanished",
        }
    }
}

// === impl Role ===

impl Role {
    /// `unknown`, `client`, `server`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Client => "client",
            Self::Server => "server",
        }
    }

    /// `source` or `destination`: which end of client → server the reporting socket is; `source` when unknown.
    pub fn reporter(self) -> &'static str {
        if self.local_is_source() { "source" } else { "destination" }
    }

    /// The local end is the client, or is shown as such since the role is unknown.
    pub fn local_is_source(self) -> bool {
        self != Self::Server
    }
}

// === impl OwnerSource ===

impl OwnerSource {
    /// `unknown`, `socket`, `holder`, `listener`, `namespace`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Socket => "socket",
            Self::Holder => "holder",
            Self::Listener => "listener",
            Self::Namespace => "namespace",
        }
    }
}

// === impl Owner ===

impl Owner {
    /// The executable's name; `None` when unknown. Bytes that are not UTF-8 end it.
    pub fn executable(&self) -> Option<&str> {
        let bytes = self.name.split(|b| *b == 0).next().unwrap_or_default();
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(e) => std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default(),
        };
        (!text.is_empty()).then_some(text)
    }
}

// === impl Totals ===

impl Totals {
    /// Field by field; saturates.
    pub fn add(&mut self, other: &Self) {
        self.sent_bytes = self.sent_bytes.saturating_add(other.sent_bytes);
        self.received_bytes = self.received_bytes.saturating_add(other.received_bytes);
        self.sent_segments = self.sent_segments.saturating_add(other.sent_segments);
        self.received_segments = self.received_segments.saturating_add(other.received_segments);
        self.data_segments = self.data_segments.saturating_add(other.data_segments);
        self.retransmits = self.retransmits.saturating_add(other.retransmits);
        self.lost = self.lost.saturating_add(other.lost);
    }
}

// === impl TcpState ===

impl TcpState {
    /// From the kernel's number.
    pub fn from_kernel(state: u8) -> Self {
        match state {
            1 => Self::Established,
            2 => Self::SynSent,
            3 => Self::SynRecv,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Close,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            12 => Self::NewSynRecv,
            _ => Self::Unknown,
        }
    }

    /// As the OpenTelemetry registry spells `network.connection.state`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Established => "established",
            Self::SynSent => "syn_sent",
            Self::SynRecv | Self::NewSynRecv => "syn_received",
            Self::FinWait1 => "fin_wait_1",
            Self::FinWait2 => "fin_wait_2",
            Self::TimeWait => "time_wait",
            Self::Close => "closed",
            Self::CloseWait => "close_wait",
            Self::LastAck => "last_ack",
            Self::Listen => "listen",
            Self::Closing => "closing",
        }
    }
}

// === impl CloseReason ===

impl CloseReason {
    /// All, in the order of their numbers (1 …).
    pub const ALL: [Self; 6] =
        [Self::Fin, Self::ResetReceived, Self::ResetSent, Self::Timeout, Self::Aborted, Self::Vanished];

    /// `fin`, `reset_received`, `reset_sent`, `timeout`, `aborted`, `vanished`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::ResetReceived => "reset_received",
            Self::ResetSent => "reset_sent",
            Self::Timeout => "timeout",
            Self::Aborted => "aborted",
            Self::Vanished => "vanished",
        }
    }
}

// === impl FailReason ===

impl FailReason {
    /// From `sk_err`; 0 is the application's own doing.
    pub fn from_errno(errno: u16) -> Self {
        match errno {
            0 => Self::Cancelled,
            111 => Self::Refused,
            110 => Self::Timeout,
            99 => Self::AddressUnavailable,
            104 => Self::Reset,
            101 | 112 | 113 => Self::Unreachable,
            other => Self::Errno(other),
        }
    }
}

impl fmt::Display for FailReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Reset => "reset",
            Self::AddressUnavailable => "address_unavailable",
            Self::Cancelled => "cancelled",
            Self::Errno(errno) => return f.write_str(&errno_name(*errno)),
        })
    }
}

/// The errno's symbolic name, or `errno_<number>`.
fn errno_name(errno: u16) -> std::borrow::Cow<'static, str> {
    std::borrow::Cow::Borrowed(match errno {
        1 => "EPERM",
        12 => "ENOMEM",
        13 => "EACCES",
        22 => "EINVAL",
        32 => "EPIPE",
        71 => "EPROTO",
        90 => "EMSGSIZE",
        92 => "ENOPROTOOPT",
        98 => "EADDRINUSE",
        100 => "ENETDOWN",
        103 => "ECONNABORTED",
        105 => "ENOBUFS",
        126 => "ENOKEY",
        127 => "EKEYEXPIRED",
        128 => "EKEYREVOKED",
        129 => "EKEYREJECTED",
        other => return std::borrow::Cow::Owned(format!("errno_{other}")),
    })
}

// === impl Endpoint ===

impl Endpoint {
    /// From 16 bytes in network order; v4-mapped becomes IPv4.
    pub fn from_bytes(address: [u8; 16], port: u16) -> Self {
        Self { address: IpAddr::V6(address.into()).to_canonical(), port }
    }

    /// 16 bytes in network order; IPv4 is v4-mapped.
    pub fn address_bytes(&self) -> [u8; 16] {
        match self.address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        }
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self { address: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), port: 0 }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::net::SocketAddr::new(self.address, self.port).fmt(f)
    }
}

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
