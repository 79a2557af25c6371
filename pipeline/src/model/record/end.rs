//! How a connection was closed, or why its open failed.

use std::fmt;

/// Why an established connection was closed. The numbers are part of the record file's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum CloseReason {
    /// Both ends sent a FIN.
    Fin = 1,
    /// The peer sent a reset.
    ResetReceived = 2,
    /// The local end sent a reset (`SO_LINGER` 0, or unread data at the close).
    ResetSent = 3,
    /// Retransmissions, keepalives or the user timeout expired.
    Timeout = 4,
    /// The local end ended the connection in another way.
    Aborted = 5,
    /// The socket no longer exists and no close event was received.
    Vanished = 6,
}

/// Why an active open failed. Comes from `sk_err`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailReason {
    /// The peer refused the connection (`ECONNREFUSED`).
    Refused,
    /// The peer did not reply (`ETIMEDOUT`).
    Timeout,
    /// There is no route, or a router reported so (`EHOSTUNREACH`, `ENETUNREACH`, …).
    Unreachable,
    /// The peer reset the connection during the handshake (`ECONNRESET`).
    Reset,
    /// No local address or port was free (`EADDRNOTAVAIL`).
    AddressUnavailable,
    /// The application closed or disconnected the socket during the handshake.
    Cancelled,
    /// Another errno.
    Errno(u16),
}

/// How a connection stopped. Only the last record of a connection has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The connection was established and then closed.
    Closed(CloseReason),
    /// The connection was never established.
    Failed(FailReason),
}

// === impl CloseReason ===

impl CloseReason {
    /// All reasons in the order of their numbers, which begin with 1.
    pub const ALL: [Self; 6] =
        [Self::Fin, Self::ResetReceived, Self::ResetSent, Self::Timeout, Self::Aborted, Self::Vanished];

    /// Returns `fin`, `reset_received`, `reset_sent`, `timeout`, `aborted` or `vanished`.
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
    /// Converts `sk_err`. 0 means that the application cancelled the open.
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

/// Returns the errno's symbolic name, or `errno_<number>`.
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
