//! Options of the kernel side: what it reports, and its sizes.

use longwave_pipeline::component::cgroup::Pattern;

/// Address families to report. v4-mapped IPv6 addresses count as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

/// Options of [`super::Kernel::load`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether to emit `OPEN` events. Without them, a connection that closes within an interval costs one record instead of two.
    pub emit_open: bool,
    /// Whether to record when an active open reached ESTABLISHED (`ConnectionEvent::connect_ns`). Implied by `emit_open`.
    pub connect_time: bool,
    /// Address families to report.
    pub families: Families,
    /// Whether to report connections that are older than the programs.
    pub pre_existing: bool,
    /// Local or peer ports of the connections and listeners to report. Empty for all.
    pub ports: Vec<u16>,
    /// cgroups of the sockets to report, those below them included: paths below the mount of cgroup2. `None` for all.
    pub cgroup: Option<Pattern>,
    /// Number of connections that fit into the table. Each costs 238 bytes of kernel memory, in use or not: seven slots of 136 bytes for
    /// every four connections.
    pub max_connections: u32,
    /// Passes after which an idle connection emits a heartbeat. 0 for never.
    pub heartbeat_passes: u8,
    /// Size of the transitions ring in bytes, rounded up to a power of two of at least a page.
    pub transitions_ring_bytes: u32,
    /// Size of the samples ring in bytes, rounded likewise. It is drained after every 1,024 slots, so that 320 KiB never fill up.
    pub samples_ring_bytes: u32,
    /// Unread bytes of transitions from which [`super::Kernel::armed_transitions_fd`] becomes readable.
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
