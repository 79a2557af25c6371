//! The structs that the kernel side writes and user space reads: ring-buffer events, the connection table's value,
//! the socket field offsets, the kernel-side loss counters.
//!
//! Everything is `#[repr(C)]`, without implicit padding, in host byte order (ports included; addresses are in network order).
//! A change of any layout raises [`LAYOUT_VERSION`].
#![no_std]

pub mod offsets;
pub mod settings;
pub mod tally;
pub mod tracked;

pub use offsets::Offsets;
pub use settings::Settings;
pub use tracked::Tracked;

/// Keys in a bucket of the connection table: one cache line.
pub const BUCKET_KEYS: u32 = 8;

/// Words that user space writes while the programs run.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// Not zero while the reader of transitions waits to be woken. The program that wakes it clears the word.
    pub armed: u64,
    /// Not zero while seeding runs.
    pub seeding: u64,
}

/// Elements of a call of `sample`'s context.
pub mod sample_context {
    /// Index of the first bucket to visit.
    pub const FIRST: usize = 0;
    /// How many buckets to visit.
    pub const COUNT: usize = 1;
    /// How many elements there are.
    pub const LEN: usize = 2;
}

/// Version of every layout in this crate; the first field of each event.
pub const LAYOUT_VERSION: u16 = 2;

/// What a [`ConnectionEvent`] reports.
pub mod kind {
    /// ESTABLISHED was reached (emitted only where the configuration asks for it).
    pub const OPEN: u8 = 1;
    /// The transition to CLOSE: counters are final. Also failures (ESTABLISHED never reached: see `flag::ESTABLISHED`).
    pub const CLOSE: u8 = 2;
    /// One observation by the sampling pass.
    pub const SAMPLE: u8 = 3;
    /// The pass found the table entry's socket gone or reused; counters are zero: the reader has those that it last saw.
    pub const VANISHED: u8 = 4;
    /// A socket began to listen ([`crate::ListenEvent`]).
    pub const LISTEN: u8 = 5;
    /// A listening socket was closed ([`crate::ListenEvent`]).
    pub const UNLISTEN: u8 = 6;
}

/// Bits of [`ConnectionEvent::flags`] and of [`Tracked::flags`](crate::Tracked::flags).
pub mod flag {
    /// The open was seen: `generation` and `opened_ns` are valid. Otherwise the connection was seeded, or closed without an entry.
    pub const START_KNOWN: u16 = 1 << 0;
    /// The connection reached ESTABLISHED (seeded ones always have).
    pub const ESTABLISHED: u16 = 1 << 1;
    /// The local end is the client. With neither role bit the role is not known yet.
    pub const CLIENT: u16 = 1 << 2;
    /// The local end is the server.
    pub const SERVER: u16 = 1 << 3;
    /// Nothing moved since the last sample: this one only confirms that the socket lives.
    pub const HEARTBEAT: u16 = 1 << 4;
    /// A close for which the table held no entry.
    pub const UNTRACKED: u16 = 1 << 5;
    /// An upper layer protocol (kernel TLS, …) is attached: payload counts are the wire's.
    pub const ULP: u16 = 1 << 6;
    /// An MPTCP subflow.
    pub const MPTCP: u16 = 1 << 7;
    /// SMC, or a socket whose data may leave TCP by sockmap.
    pub const REDIRECTED: u16 = 1 << 8;
    /// The event was handled by `state_again`, since `state` had been interrupted on its CPU.
    pub const SECOND_CHANCE: u16 = 1 << 9;
}

/// Who held the socket, and where that is known from, as far as the kernel side can tell.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "zerocopy",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::IntoBytes, zerocopy::KnownLayout)
)]
pub struct Owner {
    /// cgroup2 id of the socket (`sk_cgrp_data`); for an accepted socket, its listener's. 0: unknown.
    pub socket_cgroup: u64,
    /// cgroup2 id of the process that opened or holds the socket. 0: unknown.
    pub holder_cgroup: u64,
    /// Executable name (`comm`) of that process, NUL-padded. All zero: unknown.
    pub name: [u8; 16],
    /// Process (thread group) id of that process in the initial pid namespace. 0: unknown.
    pub pid: u32,
    /// Inode of the socket's network namespace.
    pub netns: u32,
}

/// Local and peer address and port. IPv4 is stored v4-mapped (`::ffff:a.b.c.d`), whatever the socket's family.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "zerocopy",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::IntoBytes, zerocopy::KnownLayout)
)]
pub struct Tuple {
    /// Local address, network order.
    pub local: [u8; 16],
    /// Peer address, network order.
    pub peer: [u8; 16],
    /// Local port, host order.
    pub local_port: u16,
    /// Peer port, host order.
    pub peer_port: u16,
    /// `AF_INET` or `AF_INET6`: the socket's own family.
    pub family: u16,
    /// Padding, zero.
    pub _pad: u16,
}

/// The `tcp_sock` counters and gauges, as the kernel stores them (no formula applied, nothing shifted).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "zerocopy",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::IntoBytes, zerocopy::KnownLayout)
)]
pub struct Counters {
    /// Cumulative; counts the SYN and the FIN as one byte each.
    pub bytes_acked: u64,
    /// Cumulative; counts the peer's FIN as one byte.
    pub bytes_received: u64,
    /// Cumulative data bytes handed to the IP layer, retransmissions included.
    pub bytes_sent: u64,
    /// Cumulative.
    pub bytes_retrans: u64,
    /// Sequence number after the last byte that the application wrote (or FIN).
    pub write_seq: u32,
    /// Next sequence number to send.
    pub snd_nxt: u32,
    /// First unacknowledged sequence number.
    pub snd_una: u32,
    /// Next sequence number expected.
    pub rcv_nxt: u32,
    /// Sequence number of the next byte that the application will read.
    pub copied_seq: u32,
    /// Segments sent, wraps at 2^32.
    pub segs_out: u32,
    /// Segments received, wraps.
    pub segs_in: u32,
    /// Segments with data sent, wraps.
    pub data_segs_out: u32,
    /// Segments with data received, wraps.
    pub data_segs_in: u32,
    /// Retransmitted segments, wraps.
    pub total_retrans: u32,
    /// Segments marked lost, cumulative (`tp->lost`), wraps.
    pub lost: u32,
    /// Segments delivered, wraps.
    pub delivered: u32,
    /// Smoothed round trip, microseconds shifted left by 3; 0: no sample yet.
    pub srtt_us: u32,
    /// Mean deviation, microseconds shifted left by 2.
    pub mdev_us: u32,
    /// Windowed minimum round trip, microseconds; `u32::MAX`: no sample yet.
    pub rtt_min_us: u32,
    /// Lifetime minimum of `rtt_min_us`, kept by the table; `u32::MAX`: none.
    pub rtt_min_lifetime_us: u32,
    /// Congestion window, segments.
    pub snd_cwnd: u32,
    /// Maximum segment size in use, bytes.
    pub mss_cache: u32,
    /// Segments in flight.
    pub packets_out: u32,
    /// Delivery-rate sample: segments delivered …
    pub rate_delivered: u32,
    /// … in this many microseconds.
    pub rate_interval_us: u32,
    /// Padding, zero.
    pub _pad: u32,
}

/// One observation of one connection, on either ring.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "zerocopy",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::IntoBytes, zerocopy::KnownLayout)
)]
pub struct ConnectionEvent {
    /// [`LAYOUT_VERSION`].
    pub version: u16,
    /// One of [`kind`].
    pub kind: u8,
    /// The kernel's `TCP_*` state that the socket left (OPEN, CLOSE) or is in (SAMPLE).
    pub state: u8,
    /// Bits of [`flag`].
    pub flags: u16,
    /// `sk_err` at CLOSE, else 0.
    pub error: u16,
    /// `sk_err_soft` at CLOSE, else 0.
    pub soft_error: u16,
    /// Low bits of `sk_flags` (bit 1 is SOCK_DONE), at CLOSE and in samples.
    pub sk_flags: u16,
    /// `sk_shutdown` at CLOSE, else 0.
    pub shutdown: u8,
    /// Padding, zero.
    pub _pad: [u8; 3],
    /// Socket cookie.
    pub cookie: u64,
    /// Monotonic nanoseconds of the open (SYN_SENT, or the child's leaving SYN_RECV); 0: not seen.
    pub generation: u64,
    /// Monotonic nanoseconds at which ESTABLISHED was reached; 0: not seen.
    pub established_ns: u64,
    /// Monotonic nanoseconds of this observation.
    pub observed_ns: u64,
    /// Endpoints.
    pub tuple: Tuple,
    /// Owner.
    pub owner: Owner,
    /// Counters.
    pub counters: Counters,
}

/// A socket began or stopped listening.
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
    /// Monotonic nanoseconds of this observation.
    pub observed_ns: u64,
    /// Local end; the peer is zero.
    pub tuple: Tuple,
    /// Owner.
    pub owner: Owner,
}
