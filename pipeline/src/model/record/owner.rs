//! Whose socket it is.

/// The process and cgroup that the socket belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// cgroup2 id (the cgroup directory's inode); 0: unknown.
    pub cgroup: u64,
    /// Process id in the initial pid namespace; 0: unknown, or several processes share the socket.
    pub pid: u32,
    /// Where `cgroup` is known from.
    pub source: OwnerSource,
    /// Executable name (`comm`), NUL-padded; all zero: unknown.
    pub name: [u8; 16],
}

/// Where the owner is known from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OwnerSource {
    /// Nobody could tell.
    #[default]
    Unknown = 0,
    /// The socket's own cgroup.
    Socket = 1,
    /// The cgroup of the process that holds or opened it.
    Holder = 2,
    /// The process that listens on the local end.
    Listener = 3,
    /// The pod of the network namespace.
    Namespace = 4,
}

// === impl Owner ===

impl Owner {
    /// The executable's name; `None` when unknown. Bytes that are not UTF-8 end it.
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
    /// `unknown`, `socket`, `holder`, `listener`, `namespace`.
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
