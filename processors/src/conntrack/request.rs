//! A question about one connection, and what came of it.

use longwave_pipeline::model::{ConnectionId, ConnectionRecord, Event, Role, TcpState, UnixNanos};

use super::entry::Tuple;
use super::socket::Looked;
use super::translation::Translation;

/// A question about one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub id: ConnectionId,
    /// From the reporting socket to its peer.
    pub tuple: Tuple,
    pub role: Role,
    pub state: TcpState,
    /// The connection was never established.
    pub failed: bool,
    /// A process that may be in the socket's namespace; 0: none.
    pub pid: u32,
    /// Absent where the open was not seen.
    pub opened: Option<UnixNanos>,
    /// The connection was there.
    pub observed: UnixNanos,
    /// It ended.
    pub ended: Option<UnixNanos>,
}

/// What the namespaces said to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Findings {
    /// The socket's own namespace.
    pub own: Found,
    /// The host's.
    pub host: Found,
    /// When they were asked.
    pub at: UnixNanos,
}

/// What one namespace said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "lives shortly")]
pub(super) enum Found {
    /// Asked.
    Looked(Looked),
    /// It tracks nothing, or has no part in this connection.
    Nothing,
    /// It cannot be entered.
    Closed,
    /// It is the host's own.
    Host,
}

/// The end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Translated so.
    To(Translation),
    /// Not translated.
    Same,
    /// Nobody can tell.
    Unknown(Reason),
}

/// Why nobody can tell; the value of the attribute `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// No entry, and the connection may have ended too long ago to have one.
    Gone,
    /// The entry may be a later connection's with the same addresses, or an earlier one's.
    Reused,
    /// Too many were waiting.
    QueueFull,
    /// No CAP_NET_ADMIN.
    Denied,
    /// The kernel tracks connections and cannot be asked (no `nf_conntrack_netlink`).
    Unsupported,
    /// The socket's own namespace cannot be entered.
    Namespace,
    /// The kernel's answer made no sense.
    Failed,
    /// The record is of another boot or host, or lacks an address.
    Foreign,
}

// === impl Request ===

impl Request {
    /// About the record's connection.
    pub fn of(record: &ConnectionRecord) -> Self {
        Self {
            id: record.id,
            tuple: Tuple { source: record.local, destination: record.peer },
            role: record.role,
            state: record.state,
            failed: record.event == Event::Fail,
            pid: record.owner.pid,
            opened: record.start_known.then_some(record.opened),
            observed: record.observed,
            ended: record.event.is_end().then_some(record.observed),
        }
    }
}

// === impl Reason ===

impl Reason {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Gone,
        Self::Reused,
        Self::QueueFull,
        Self::Denied,
        Self::Unsupported,
        Self::Namespace,
        Self::Failed,
        Self::Foreign,
    ];

    /// As exported.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Reused => "reused",
            Self::QueueFull => "queue_full",
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
            Self::Namespace => "namespace",
            Self::Failed => "failed",
            Self::Foreign => "foreign",
        }
    }
}
