//! What the configuration switches on and off in the kernel.

/// Bits of [`Settings::families`], by the address family that a reader sees (v4-mapped IPv6 is IPv4).
pub mod family {
    /// IPv4, and v4-mapped IPv6.
    pub const V4: u8 = 1;
    /// IPv6 proper.
    pub const V6: u8 = 2;
}

/// Bytes of per-CPU scratch into which the sampler copies the range of `tcp_sock` that holds the counters.
pub const SAMPLE_MAX: u32 = 1536;
/// Longest span of the four "moved" fields that is worth one read; above it they are read one by one.
pub const MOVED_MAX: u32 = 64;
/// Longest span of the identity fields of `sock_common`.
pub const COMMON_MAX: u32 = 128;

/// The configuration as read-only data: the verifier sees constants, and drops what is switched off.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(zerocopy::Immutable, zerocopy::IntoBytes))]
pub struct Settings {
    /// Only sockets whose cgroup is this one or below it; 0: all.
    pub scope_cgroup: u64,
    /// The level of `scope_cgroup` in the hierarchy (the root is 0).
    pub scope_cgroup_level: u32,
    /// Unread bytes in the transitions ring from which a record wakes an armed reader.
    pub wake_watermark: u32,
    /// Buckets of the connection table.
    pub buckets: u32,
    /// First byte of the socket that a sample copies.
    pub sample_start: u32,
    /// Bytes that a sample copies, at most [`SAMPLE_MAX`].
    pub sample_len: u32,
    /// First byte of the span of the four "moved" fields.
    pub moved_start: u32,
    /// Its length, at most [`MOVED_MAX`]; 0: read the fields one by one.
    pub moved_len: u32,
    /// First byte of the span of `sock_common` that holds ports, state, cookie and flags.
    pub common_start: u32,
    /// Its length, at most [`COMMON_MAX`].
    pub common_len: u32,
    /// Emit `OPEN` events.
    pub emit_open: u8,
    /// Note when ESTABLISHED was reached.
    pub connect_time: u8,
    /// Bits of [`family`].
    pub families: u8,
    /// Report connections older than the programs.
    pub pre_existing: u8,
    /// Only connections with a port in the `port_scope` map.
    pub scope_ports: u8,
    /// An idle socket emits a heartbeat every so many passes; 0: never.
    pub heartbeat_passes: u8,
    /// Copies of `state` that are attached.
    pub copies: u8,
    /// Padding, zero.
    pub _pad: [u8; 5],
}

impl Settings {
    /// What the object holds before the loader fills it in.
    pub const UNSET: Self = Self {
        scope_cgroup: 0,
        scope_cgroup_level: 0,
        wake_watermark: u32::MAX,
        buckets: 1,
        sample_start: 0,
        sample_len: 8,
        moved_start: 0,
        moved_len: 0,
        common_start: 0,
        common_len: 8,
        emit_open: 0,
        connect_time: 0,
        families: family::V4 | family::V6,
        pre_existing: 1,
        scope_ports: 0,
        heartbeat_passes: 0,
        copies: 2,
        _pad: [0; 5],
    };
}
