//! [`Request`]: the look-up of one connection, and its results.

use longwave_pipeline::model::{ConnectionId, ConnectionRecord, Event, Role, TcpState, UnixNanos};

use super::entry::Tuple;
use super::socket::LookupResult;
use super::translation::Translation;

/// The look-up of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub id: ConnectionId,
    /// From the reporting socket to its peer.
    pub tuple: Tuple,
    pub role: Role,
    pub state: TcpState,
    /// The connection was never established.
    pub failed: bool,
    /// A process that may be in the socket's namespace. 0: none.
    pub pid: u32,
    /// `None` if the open was not observed.
    pub opened: Option<UnixNanos>,
    /// A time at which the connection existed.
    pub observed: UnixNanos,
    /// When it ended; `None` if it is open.
    pub ended: Option<UnixNanos>,
}

/// Results of a request in both namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Findings {
    /// The socket's own namespace.
    pub own: NamespaceResult,
    /// The host's.
    pub host: NamespaceResult,
    /// When the host's namespace was queried.
    pub at: UnixNanos,
}

/// Result of a request in one namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "lives shortly")]
pub(super) enum NamespaceResult {
    /// It was queried.
    LookedUp(LookupResult),
    /// It tracks no connection, or this connection does not cross it.
    Nothing,
    /// It cannot be entered.
    Closed,
    /// It is the host's own.
    Host,
}

/// Final result of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Translated.
    To(Translation),
    /// Not translated.
    Same,
    /// No certain result.
    Unknown(Reason),
}

/// Why there is no certain result. The value of the attribute `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// No entry, and the connection may have ended too long ago to have one.
    Gone,
    /// The entry may be a later connection's with the same addresses, or an earlier one's.
    Reused,
    /// Too many requests were waiting.
    QueueFull,
    /// No CAP_NET_ADMIN.
    Denied,
    /// The kernel tracks connections, but cannot be queried (no `nf_conntrack_netlink`).
    Unsupported,
    /// The socket's own namespace cannot be entered.
    Namespace,
    /// The kernel's answer is not valid.
    Failed,
    /// The record is of another boot or host, or lacks an address.
    Foreign,
}

// === impl Request ===

impl Request {
    /// Creates the request for a record's connection.
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
    /// All reasons, in the order of their numbers.
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

    /// Returns the exported value.
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
