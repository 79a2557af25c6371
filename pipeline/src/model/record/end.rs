//! How a connection ended.

use std::fmt;

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
