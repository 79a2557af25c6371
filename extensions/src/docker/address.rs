//! Address of a daemon.

use std::fmt;
use std::str::FromStr;

/// Address at which a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DaemonAddress {
    /// Path of a Unix socket.
    Unix(String),
    /// `host:port`, without encryption.
    Tcp(String),
}

/// Why a text is not the address of a daemon.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidAddress {
    /// The scheme is not supported.
    #[error(
        "scheme {0:?} is not supported (write unix:///var/run/docker.sock, or tcp://host:2375 for a daemon without TLS)"
    )]
    Scheme(String),
    /// The scheme, path or port is missing.
    #[error(
        "invalid endpoint {0:?} (write unix:///var/run/docker.sock, or tcp://host:2375 for a daemon without TLS)"
    )]
    Malformed(String),
}

// === impl DaemonAddress ===

impl FromStr for DaemonAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let malformed = || InvalidAddress::Malformed(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(malformed)?;
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix(rest.to_owned())),
            "tcp" | "http" => {
                let rest = rest.trim_end_matches('/');
                let (host, port) = rest.rsplit_once(':').ok_or_else(malformed)?;
                let valid =
                    !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0);
                if valid { Ok(Self::Tcp(rest.to_owned())) } else { Err(malformed()) }
            }
            "unix" => Err(malformed()),
            other => Err(InvalidAddress::Scheme(other.to_owned())),
        }
    }
}

impl fmt::Display for DaemonAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{path}"),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}
