//! What of the kernel side is switched on, and its sizes.

use std::path::PathBuf;

/// Which address families are reported, as a reader sees them: v4-mapped IPv6 is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

/// A cgroup that bounds what is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupScope {
    /// A folder of the cgroup2 hierarchy, for example `/sys/fs/cgroup/system.slice`.
    Path(PathBuf),
    /// An id (the folder's inode) and its level below the root (the root is 0).
    Id {
        /// cgroup2 id.
        id: u64,
        /// Folders below the root.
        level: u32,
    },
}

/// Options of [`super::Kernel::load`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Emit `OPEN` events. Off where no pipeline needs them: a connection inside one interval then costs one record.
    pub emit_open: bool,
    /// Note when an active open reached ESTABLISHED (`ConnectionEvent::established_ns`). Implied by `emit_open`.
    pub connect_time: bool,
    /// Address families.
    pub families: Families,
    /// Report connections that are older than the programs.
    pub pre_existing: bool,
    /// Only connections and listeners with one of these local or peer ports. Empty: all.
    pub ports: Vec<u16>,
    /// Only sockets of this cgroup or below.
    pub cgroup: Option<CgroupScope>,
    /// Connections that the table has room for. Each costs 238 bytes of kernel memory, in use or not: seven slots of 136 bytes for every
    /// four connections.
    pub max_connections: u32,
    /// An idle connection emits a heartbeat every so many passes; 0: never.
    pub heartbeat_passes: u8,
    /// Size of the ring of transitions, bytes; rounded up to a power of two of at least a page.
    pub transitions_ring_bytes: u32,
    /// Size of the ring of samples, bytes; likewise. It is drained after every 1,024 slots: 256 KiB never fill up.
    pub samples_ring_bytes: u32,
    /// Unread bytes of transitions that wake [`super::Kernel::armed_transitions_fd`].
    pub wake_bytes: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            emit_open: false,
            connect_time: true,
            families: Families { v4: true, v6: true },
            pre_existing: true,
            ports: Vec::new(),
            cgroup: None,
            max_connections: 131_072,
            heartbeat_passes: 12,
            transitions_ring_bytes: 4 << 20,
            samples_ring_bytes: 512 << 10,
            wake_bytes: 256 << 10,
        }
    }
}
