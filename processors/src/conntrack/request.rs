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
    /// Whether the connection was never established.
    pub failed: bool,
    /// A process that may be in the socket's namespace; 0 if none is known.
    pub pid: u32,
    /// `None` if the open was not observed.
    pub opened: Option<UnixNanos>,
    /// A time at which the connection existed.
    pub observed: UnixNanos,
    /// Time of the close or failure; `None` while the connection is open.
    pub ended: Option<UnixNanos>,
}

/// Results of a request in both namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Findings {
    /// Result in the socket's own namespace.
    pub own: NamespaceResult,
    /// Result in the host's namespace.
    pub host: NamespaceResult,
    /// Time at which the host's namespace was queried.
    pub at: UnixNanos,
}

/// Result of a request in one namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "short-lived")]
pub(super) enum NamespaceResult {
    /// The namespace was queried.
    LookedUp(LookupResult),
    /// The namespace tracks no connection, or the packets of this connection do not cross it.
    Nothing,
    /// The namespace cannot be entered.
    Closed,
    /// The socket's own namespace is the host's. The result is in [`Findings::host`].
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
    /// There is no entry, and the connection may have closed so long ago that its entry was removed.
    Gone,
    /// The entry may belong to an earlier or later connection with the same addresses.
    Reused,
    /// Too many requests were waiting.
    QueueFull,
    /// No CAP_NET_ADMIN.
    Denied,
    /// The kernel tracks connections, but cannot be queried (no `nf_conntrack_netlink`).
    Unsupported,
    /// The socket's own namespace cannot be entered.
    Namespace,
    /// The kernel's reply is not valid.
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
