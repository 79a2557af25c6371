//! The owner of a socket.

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

// === impl Owner ===

impl Owner {
    /// Returns the executable's name, up to the first byte that is not UTF-8. `None` if unknown.
    pub fn executable(&self) -> Option<&str> {
        let bytes = self.name.split(|b| *b == 0).next().unwrap_or_default();
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(e) => std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default(),
        };
        (!text.is_empty()).then_some(text)
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
