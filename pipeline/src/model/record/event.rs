//! What is reported, from which end, in which TCP state.

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

/// The end of client → server that reports a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reporter {
    /// The client, or the local end of a connection with unknown role.
    Source,
    /// The server.
    Destination,
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

    /// Returns which end of client → server the reporting socket is; the source when unknown.
    pub fn reporter(self) -> Reporter {
        if self.local_is_source() { Reporter::Source } else { Reporter::Destination }
    }

    /// The local end is the client, or is shown as such since the role is unknown.
    pub fn local_is_source(self) -> bool {
        self != Self::Server
    }
}

// === impl Reporter ===

impl Reporter {
    /// `source`, `destination`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
        }
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
