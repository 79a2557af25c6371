//! Settings of the BPF programs, derived from the configuration and the kernel's types.

/// Bits of [`Settings::families`]. v4-mapped IPv6 addresses count as IPv4.
pub mod family {
    /// IPv4, v4-mapped IPv6 included.
    pub const V4: u8 = 1;
    /// IPv6, v4-mapped addresses excluded.
    pub const V6: u8 = 2;
}

/// Largest [`Settings::sample_len`] in bytes: the size of the per-CPU buffer for the copy.
pub const MAX_SAMPLE_LEN: u32 = 1536;
/// Largest [`Settings::progress_len`] in bytes. Above it, four small reads cost less than one large read.
pub const MAX_PROGRESS_LEN: u32 = 64;
/// Largest [`Settings::common_len`] in bytes.
pub const MAX_COMMON_LEN: u32 = 128;

/// Settings as read-only data. The verifier treats them as constants and removes the code of what is switched off.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(zerocopy::Immutable, zerocopy::IntoBytes))]
pub struct Settings {
    /// Unread bytes in the transitions ring from which a record wakes the reader.
    pub wake_watermark: u32,
    /// Buckets of the connection table.
    pub buckets: u32,
    /// Offset in `tcp_sock` of the first byte that a sample copies. The copied range contains all counters.
    pub sample_start: u32,
    /// Bytes that a sample copies, at most [`MAX_SAMPLE_LEN`].
    pub sample_len: u32,
    /// Offset in `tcp_sock` of the range that contains the four progress fields (see [`crate::TableEntry::progress`]).
    pub progress_start: u32,
    /// Bytes of that range, at most [`MAX_PROGRESS_LEN`]. 0 if the fields are read one by one.
    pub progress_len: u32,
    /// Offset in `sock_common` of the range that contains ports, state, cookie and flags.
    pub common_start: u32,
    /// Bytes of that range, at most [`MAX_COMMON_LEN`].
    pub common_len: u32,
    /// Nonzero to emit `OPEN` events.
    pub emit_open: u8,
    /// Nonzero to record when a connection reached ESTABLISHED.
    pub connect_time: u8,
    /// Address families to report, as bits of [`family`].
    pub families: u8,
    /// Nonzero to report connections that are older than the programs.
    pub pre_existing: u8,
    /// Nonzero to report only sockets that have a port of the map `port_scope`.
    pub scope_ports: u8,
    /// Nonzero to report only sockets whose cgroup is in the map `cgroup_scope`.
    pub scope_cgroups: u8,
    /// Passes after which an idle connection emits a heartbeat. 0 for never.
    pub heartbeat_passes: u8,
    /// Number of attached copies of `state`.
    pub state_copies: u8,
}

impl Settings {
    /// Settings in the object file, before the loader overwrites them.
    pub const UNSET: Self = Self {
        wake_watermark: u32::MAX,
        buckets: 1,
        sample_start: 0,
        sample_len: 8,
        progress_start: 0,
        progress_len: 0,
        common_start: 0,
        common_len: 8,
        emit_open: 0,
        connect_time: 0,
        families: family::V4 | family::V6,
        pre_existing: 1,
        scope_ports: 0,
        scope_cgroups: 0,
        heartbeat_passes: 0,
        state_copies: 2,
    };
}
