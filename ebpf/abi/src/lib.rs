//! The structs that the BPF programs share with user space: events of the ring buffers, entries of the connection table, offsets of
//! kernel fields, settings and counters.
//!
//! Every struct is `#[repr(C)]` without implicit padding. Numbers, ports included, are in host byte order. Addresses are in network byte
//! order. A change of a layout raises [`LAYOUT_VERSION`].
#![no_std]

pub mod entry;
pub mod offsets;
pub mod settings;
pub mod tally;

pub use entry::TableEntry;
pub use offsets::Offsets;
pub use settings::Settings;

/// Keys in a bucket of the connection table. They fill one cache line.
pub const BUCKET_KEYS: u32 = 8;

/// Flags that user space sets while the programs run.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// Nonzero while the reader of the transitions ring waits to be woken. The program that wakes the reader clears it.
    pub armed: u64,
    /// Nonzero while seeding runs.
    pub seeding: u64,
    /// Thread that walks the descriptors of all processes, as `bpf_get_current_pid_tgid` returns it. 0 if none does. `seed_files` sets it, and
    /// user space clears it.
    pub walker: u64,
}

/// Indices into the context that user space passes to `sample`, an array of `u64`.
pub mod sample_context {
    /// Element with the index of the first bucket to visit.
    pub const FIRST: usize = 0;
    /// Element with the number of buckets to visit.
    pub const COUNT: usize = 1;
    /// Number of elements that `sample` reads.
    pub const LEN: usize = 2;
}

/// Version of all layouts in this crate. It is the first field of each event.
pub const LAYOUT_VERSION: u16 = 4;

/// Kinds of events.
pub mod kind {
    /// The connection reached ESTABLISHED. Emitted only if [`crate::Settings::emit_open`] is set.
    pub const OPEN: u8 = 1;
    /// The socket entered CLOSE, so its counters are final. Without [`crate::flag::ESTABLISHED`] the connection failed.
    pub const CLOSE: u8 = 2;
    /// A sampling pass observed the connection.
    pub const SAMPLE: u8 = 3;
    /// A sampling pass found that the socket of the table entry is gone or reused. All counters of the event are zero.
    pub const VANISHED: u8 = 4;
    /// A socket began to listen. The event is a [`crate::ListenEvent`].
    pub const LISTEN: u8 = 5;
    /// A listening socket was closed. The event is a [`crate::ListenEvent`].
    pub const UNLISTEN: u8 = 6;
    /// A cgroup of version 2 was created. The event is a [`crate::CgroupEvent`].
    pub const CGROUP_CREATED: u8 = 7;
    /// A cgroup of version 2 was removed. The event is a [`crate::CgroupEvent`] without a path.
    pub const CGROUP_REMOVED: u8 = 8;
}

/// Bits of [`ConnectionEvent::flags`] and of [`ControlWord::flags`](crate::entry::ControlWord::flags).
pub mod flag {
    /// The open was observed, so `generation` is valid. Otherwise the connection was seeded, or closed without a table entry.
    pub const START_KNOWN: u16 = 1 << 0;
    /// The connection reached ESTABLISHED. Set for seeded connections, unless they are in SYN_SENT.
    pub const ESTABLISHED: u16 = 1 << 1;
    /// The local end is the client. If neither role bit is set, the role is not known yet.
    pub const CLIENT: u16 = 1 << 2;
    /// The local end is the server.
    pub const SERVER: u16 = 1 << 3;
    /// Nothing changed since the last sample. This sample only confirms that the socket exists.
    pub const HEARTBEAT: u16 = 1 << 4;
    /// The table had no entry for the connection when it closed.
    pub const UNTRACKED: u16 = 1 << 5;
    /// An upper layer protocol such as kernel TLS is attached: TCP counts ciphertext bytes, not those of the application.
    pub const ULP: u16 = 1 << 6;
    /// The socket is an MPTCP subflow.
    pub const MPTCP: u16 = 1 << 7;
    /// SMC or a sockmap may move data of the application past TCP.
    pub const REDIRECTED: u16 = 1 << 8;
    /// A later copy of `state` handled the event, because `state` was interrupted on its CPU.
    pub const SECOND_CHANCE: u16 = 1 << 9;
    /// [`crate::Owner`] has a process that has, or had, a descriptor of the socket.
    pub const HOLDER: u16 = 1 << 10;
    /// [`crate::Owner`] has the process that closed the socket.
    pub const CLOSER: u16 = 1 << 11;
    /// The connection was established without a SYN, by `TCP_REPAIR`.
    pub const NO_SYN: u16 = 1 << 12;
    /// The socket was closed under `TCP_REPAIR`, which sends nothing.
    pub const REPAIR: u16 = 1 << 13;
    /// Only in the table: at the last sample, data was not acknowledged yet or the peer's window was full. The next pass samples the
    /// connection even if nothing has moved, because what limits it may have changed.
    pub const WAITING: u16 = 1 << 14;
    /// Only in events: the event has [`crate::ConnectionEvent::limits`]. Each sample has them, and a close at which a counter of them is not
    /// 0.
    pub const LIMITS: u16 = 1 << 14;
    /// The sent or the received bytes may be off by one. Only the receiver `sock_diag` sets it. If a CLOSE with it has no peer port, the kernel
    /// had reset the socket, and its counters are zero.
    pub const UNCERTAIN: u16 = 1 << 15;
}

/// Owner of a socket, as far as the kernel side can determine it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "zerocopy",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::IntoBytes, zerocopy::KnownLayout)
)]
pub struct Owner {
    /// cgroup2 id of the socket (`sk_cgrp_data`). An accepted socket has that of its listener. 0 if unknown.
    pub socket_cgroup: u64,
    /// cgroup2 id of the process. Which process it is follows from the flags: [`flag::CLOSER`], [`flag::HOLDER`], otherwise the one that
    /// opened the socket. 0 if unknown.
    pub process_cgroup: u64,
    /// Executable name (`comm`) of that process, padded with NUL. All zero if unknown.
    pub name: [u8; 16],
    /// Process (thread group) id of that process in the initial pid namespace. 0 if unknown.
    pub pid: u32,
    /// Inode of the socket's network namespace.
    pub netns: u32,
}

/// Local and peer address and port. IPv4 addresses are v4-mapped (`::ffff:a.b.c.d`), also if the socket's family is `AF_INET`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "zerocopy",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::IntoBytes, zerocopy::KnownLayout)
)]
pub struct Tuple {
    /// Local address, in network byte order.
    pub local: [u8; 16],
    /// Peer address, in network byte order.
    pub peer: [u8; 16],
    /// Local port, in host byte order.
    pub local_port: u16,
    /// Peer port, in host byte order.
    pub peer_port: u16,
    /// The socket's family, `AF_INET` or `AF_INET6`.
    pub family: u16,
    /// Padding, zero.
    pub _pad: u16,
}

/// Counters and gauges of `tcp_sock`, as the kernel stores them. Counters of 32 bits wrap.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "zerocopy",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::IntoBytes, zerocopy::KnownLayout)
)]
pub struct Counters {
    /// Bytes that the peer acknowledged since the open. The SYN and the FIN count as one byte each.
    pub bytes_acked: u64,
    /// Bytes received in order since the open. The peer's FIN counts as one byte.
    pub bytes_received: u64,
    /// Data bytes passed to the IP layer since the open, retransmissions included.
    pub bytes_sent: u64,
    /// Data bytes retransmitted since the open.
    pub bytes_retrans: u64,
    /// Sequence number after the last byte that the application wrote, or after the FIN.
    pub write_seq: u32,
    /// Next sequence number to send.
    pub snd_nxt: u32,
    /// First unacknowledged sequence number.
    pub snd_una: u32,
    /// Next sequence number expected from the peer.
    pub rcv_nxt: u32,
    /// Sequence number of the next byte that the application will read.
    pub copied_seq: u32,
    /// Segments sent since the open.
    pub segs_out: u32,
    /// Segments received since the open.
    pub segs_in: u32,
    /// Segments with data sent since the open.
    pub data_segs_out: u32,
    /// Segments with data received since the open.
    pub data_segs_in: u32,
    /// Segments retransmitted since the open.
    pub total_retrans: u32,
    /// Segments marked lost since the open (`tp->lost`).
    pub lost: u32,
    /// Segments delivered to the peer since the open.
    pub delivered: u32,
    /// Smoothed round trip in units of 1/8 µs. 0 if there is no sample yet.
    pub srtt_us: u32,
    /// Mean deviation of the round trip in units of 1/4 µs.
    pub mdev_us: u32,
    /// Minimum round trip of the kernel's time window, in µs. `u32::MAX` if there is no sample yet.
    pub rtt_min_us: u32,
    /// Lowest `rtt_min_us` since the open, kept in the table. `u32::MAX` if there is none.
    pub rtt_min_lifetime_us: u32,
    /// Congestion window in segments.
    pub snd_cwnd: u32,
    /// Maximum segment size in bytes.
    pub mss_cache: u32,
    /// Segments in flight.
    pub packets_out: u32,
    /// Segments delivered in the last delivery-rate sample.
    pub rate_delivered: u32,
    /// Length of the last delivery-rate sample in µs.
    pub rate_interval_us: u32,
    /// Padding, zero.
    pub _pad: u32,
}

/// What limits a connection: counters and gauges as the kernel stores them. Counters of 32 bits wrap.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "zerocopy",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::IntoBytes, zerocopy::KnownLayout)
)]
pub struct LimitCounters {
    /// Time with data to send, in jiffies, without the two times below. The time since the last change is included.
    pub busy_jiffies: u32,
    /// Time in which the peer's receive window was full, in jiffies.
    pub peer_window_jiffies: u32,
    /// Time in which the send buffer was full, in jiffies.
    pub send_buffer_jiffies: u32,
    /// Segments received out of order since the open.
    pub rcv_ooopack: u32,
    /// Duplicate SACKs received since the open.
    pub dsack_dups: u32,
    /// Segments delivered with a congestion mark since the open.
    pub delivered_ce: u32,
    /// Retransmission timeouts since the open. The kernel's counter has 16 bits and wraps.
    pub total_rto: u32,
    /// Round trip as the receiver of data estimates it, in units of 1/8 µs. 0 if there is no sample yet.
    pub rcv_rtt_us: u32,
    /// Slow start threshold in segments. `0x7fffffff` until the first loss, 0 if the kernel lacks it.
    pub snd_ssthresh: u32,
    /// The peer's receive window in bytes.
    pub snd_wnd: u32,
    /// Pacing rate in bytes per second. 0 if it was not read.
    pub pacing_rate: u64,
    /// Name of the congestion control, padded with NUL. All zero if it was not read.
    pub congestion_control: [u8; 16],
}

/// One observation of one connection. Both rings carry it, without its last part if [`flag::LIMITS`] is not set.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "zerocopy",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::IntoBytes, zerocopy::KnownLayout)
)]
pub struct ConnectionEvent {
    /// [`LAYOUT_VERSION`].
    pub version: u16,
    /// [`kind::OPEN`], [`kind::CLOSE`], [`kind::SAMPLE`] or [`kind::VANISHED`].
    pub kind: u8,
    /// State of the socket, as in the kernel's `TCP_*`. OPEN and CLOSE have the state that the socket left.
    pub state: u8,
    /// Bits of [`flag`].
    pub flags: u16,
    /// `sk_err` of CLOSE, else 0.
    pub error: u16,
    /// `sk_err_soft` of CLOSE, else 0.
    pub soft_error: u16,
    /// Low bits of `sk_flags` of CLOSE and SAMPLE, else 0. Bit 1 is SOCK_DONE.
    pub sk_flags: u16,
    /// `sk_shutdown` of CLOSE, else 0.
    pub shutdown: u8,
    /// Padding, zero.
    pub _pad: [u8; 3],
    /// Socket cookie.
    pub cookie: u64,
    /// Monotonic time of the open in ns: when the socket entered SYN_SENT or left SYN_RECV. 0 if it was not observed.
    pub generation: u64,
    /// Time in ns from the first SYN to ESTABLISHED, of an active open. 0 if unknown.
    pub connect_ns: u64,
    /// Monotonic time of this observation in ns.
    pub observed_ns: u64,
    /// Addresses and ports.
    pub tuple: Tuple,
    /// Owner of the socket.
    pub owner: Owner,
    /// Counters of the socket; all zero for VANISHED.
    pub counters: Counters,
    /// What limits the connection, only with [`flag::LIMITS`]. An event without it ends before this field: [`SHORT_EVENT_LEN`].
    pub limits: LimitCounters,
}

/// Size in the ring of a [`ConnectionEvent`] without [`flag::LIMITS`].
pub const SHORT_EVENT_LEN: usize = core::mem::offset_of!(ConnectionEvent, limits);

/// Event of a socket that began or stopped listening.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "zerocopy",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::IntoBytes, zerocopy::KnownLayout)
)]
pub struct ListenEvent {
    /// [`LAYOUT_VERSION`].
    pub version: u16,
    /// [`kind::LISTEN`] or [`kind::UNLISTEN`].
    pub kind: u8,
    /// Padding, zero.
    pub _pad: [u8; 5],
    /// Socket cookie.
    pub cookie: u64,
    /// Monotonic time of this observation in ns.
    pub observed_ns: u64,
    /// Local address and port; the peer is zero.
    pub tuple: Tuple,
    /// Owner of the socket.
    pub owner: Owner,
}

/// Event of a cgroup that was created or removed. In the ring, `path_len` bytes of its path follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "zerocopy",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::IntoBytes, zerocopy::KnownLayout)
)]
pub struct CgroupEvent {
    /// [`LAYOUT_VERSION`].
    pub version: u16,
    /// [`kind::CGROUP_CREATED`] or [`kind::CGROUP_REMOVED`].
    pub kind: u8,
    /// Padding, zero.
    pub _pad: u8,
    /// Length of the path in bytes, without a NUL. 0 if the path is longer than [`MAX_CGROUP_PATH`].
    pub path_len: u32,
    /// cgroup2 id.
    pub id: u64,
}

/// Maximum length of the path of a [`CgroupEvent`] in bytes, with the NUL at its end: that of the kernel's own buffer.
pub const MAX_CGROUP_PATH: usize = 1024;
