//! Why a record exists, the role of its socket, and the socket's TCP state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why the record exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Event {
    /// The connection reached ESTABLISHED.
    Open = 1,
    /// A sample at a tick.
    Update = 2,
    /// The connection was closed. Its totals are final.
    Close = 3,
    /// An active open did not reach ESTABLISHED.
    Fail = 4,
    /// The socket no longer exists and no close event was received. The totals are the last known.
    Vanished = 5,
}

/// Whether the reporting socket is the client or the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Role {
    /// The socket called `connect`.
    Client = 1,
    /// The socket was accepted from a listener.
    Server = 2,
    /// Unknown, for example for a seeded connection if neither its counters nor a listener show the role.
    #[default]
    Unknown = 0,
}

/// The end of client → server that reports a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reporter {
    /// The client, or the local end of a connection with unknown role.
    Source,
    /// The server.
    Destination,
}

/// States of a TCP socket, with the kernel's numbers.
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

// === impl Event ===

impl Event {
    /// Whether this is the event of the last record of a connection.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Close | Self::Fail | Self::Vanished)
    }

    /// Returns `open`, `update`, `close`, `fail` or `vanished`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Update => "update",
            Self::Close => "close",
            Self::Fail => "fail",
            Self::Vanished => "vanished",
        }
    }

    /// Returns `longwave.tcp.connection.<event>`, the name of the log record.
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
    /// Returns `unknown`, `client` or `server`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Client => "client",
            Self::Server => "server",
        }
    }

    /// Returns the reporting end: the source for the client and for an unknown role, the destination for the server.
    pub fn reporter(self) -> Reporter {
        if self.local_is_source() { Reporter::Source } else { Reporter::Destination }
    }

    /// Whether the local end is reported as the source: it is the client, or its role is unknown.
    pub fn local_is_source(self) -> bool {
        self != Self::Server
    }
}

// === impl Reporter ===

impl Reporter {
    /// Returns `source` or `destination`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
        }
    }
}

// === impl TcpState ===

impl TcpState {
    /// Converts the kernel's number.
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

    /// Returns the value of OpenTelemetry's attribute `network.connection.state`.
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
