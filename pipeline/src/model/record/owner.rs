//! The owner of a socket.

/// Process and cgroup of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// cgroup2 id, which is the inode of the cgroup's directory; 0 if unknown.
    pub cgroup: u64,
    /// Process id in the initial pid namespace; 0 if unknown, or if several processes share the socket.
    pub pid: u32,
    /// How `cgroup` was found.
    pub source: OwnerSource,
    /// Executable name (`comm`), padded with NUL; all zeros if unknown.
    pub name: [u8; 16],
}

/// How the cgroup of a socket was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OwnerSource {
    /// The cgroup is unknown.
    #[default]
    Unknown = 0,
    /// The socket's own cgroup.
    Socket = 1,
    /// The cgroup of the process that has or opened the socket.
    Holder = 2,
    /// The cgroup of the process that listens on the local address and port.
    Listener = 3,
    /// The pod that the network namespace belongs to.
    Namespace = 4,
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
    /// Returns `unknown`, `socket`, `holder`, `listener` or `namespace`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Socket => "socket",
            Self::Holder => "holder",
            Self::Listener => "listener",
            Self::Namespace => "namespace",
        }
    }
}
