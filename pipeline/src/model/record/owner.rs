//! The owner of a socket.

use std::borrow::Cow;

/// Process and cgroup of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// cgroup2 id, which is the inode of the cgroup's directory; 0 if unknown.
    pub cgroup: u64,
    /// Process id in the initial pid namespace; 0 if unknown, or if several processes share the socket.
    pub pid: u32,
    /// How process and cgroup were found.
    pub source: OwnerSource,
    /// Executable name (`comm`), padded with NUL; all zeros if unknown.
    pub name: [u8; 16],
}

/// How the owner of a socket was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OwnerSource {
    /// The owner is unknown.
    #[default]
    Unknown = 0,
    /// The process is unknown. The cgroup is that of the socket.
    Socket = 1,
    /// A process that has a descriptor of the socket. Other processes may have one too.
    Holder = 2,
    /// Supposed: the process that listens on the local address and port.
    Listener = 3,
    /// The pod that the network namespace belongs to.
    Namespace = 4,
    /// The process that opened the connection.
    Connect = 5,
    /// The process that closed the socket.
    Close = 6,
}

/// Maximum length of a name in bytes; the last byte of `comm` is NUL.
const MAX_NAME_BYTES: usize = 15;

// === impl Owner ===

impl Owner {
    /// Returns the executable's name. Bytes that are not UTF-8 become U+FFFD. `None` if unknown.
    pub fn executable(&self) -> Option<Cow<'_, str>> {
        let mut bytes = self.name.split(|b| *b == 0).next().unwrap_or_default();
        // The kernel cuts longer names, perhaps within a character.
        if bytes.len() >= MAX_NAME_BYTES
            && let Err(error) = std::str::from_utf8(bytes)
            && error.error_len().is_none()
        {
            bytes = &bytes[..error.valid_up_to()];
        }
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes))
    }
}

// === impl OwnerSource ===

impl OwnerSource {
    /// Every source.
    pub const ALL: [Self; 7] = [
        Self::Unknown,
        Self::Socket,
        Self::Holder,
        Self::Listener,
        Self::Namespace,
        Self::Connect,
        Self::Close,
    ];

    /// Returns `unknown`, `socket`, `holder`, `listener`, `namespace`, `connect` or `close`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Socket => "socket",
            Self::Holder => "holder",
            Self::Listener => "listener",
            Self::Namespace => "namespace",
            Self::Connect => "connect",
            Self::Close => "close",
        }
    }
}

#[cfg(test)]
mod tests;
