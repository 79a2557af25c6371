//! [`End`]: one socket of this node, and the tuple by which its peer finds it.

use longwave_pipeline::model::{
    ConnectionId, ConnectionRecord, Endpoint, Handle, OwnerSource, UnixNanos, Workload,
};

use crate::connection_map::{Identified, NO_INDEX};
use crate::holding::{ConnectionState, Waiting};
use crate::workload::found::Found;

/// One socket of this node: one end of a connection.
///
/// The fields that every record needs are in the first 48 bytes. These are in one cache line, because a large allocation begins 16 bytes
/// after the start of a page, and an element takes two lines. A larger alignment would prevent the table from growing in place.
#[repr(C, align(16))]
pub(crate) struct End {
    pub id: ConnectionId,
    pub local: Option<Handle<Workload>>,
    pub peer: Option<Handle<Workload>>,
    /// The sources' version at the last look-up; 0 if the names have to be looked up again.
    pub version: u32,
    /// The pass of the last record, modulo 65,536.
    pub last_pass: u16,
    flags: u8,
    /// How the owner was found by which `local` was looked up.
    pub owner_source: OwnerSource,
    /// The cgroup by which `local` was looked up.
    pub cgroup: u64,
    /// A time at which the connection's addresses were in use: its start if known, otherwise the time of its first record.
    pub at: UnixNanos,
    /// `None` if the connection is not translated.
    pub alias: Option<Box<Alias>>,
    /// The socket at the other end, or [`NO_INDEX`].
    pub partner: u32,
    pub tuple: Tuple,
    /// Number of the sources' renames at the last look-up.
    pub renames: u32,
    /// Rank of the source of `local`.
    pub local_rank: u8,
    /// Rank of the source that named the peer by its address; [`NOT_BY_ADDRESS`] if its own socket named it, or nothing.
    pub peer_rank: u8,
}

/// Value of [`End::peer_rank`] for a peer that no address has named.
pub(super) const NOT_BY_ADDRESS: u8 = u8::MAX;

// An element of the table takes two cache lines.
const _: () = assert!(size_of::<Option<End>>() == 128);

/// A set of flags of an [`End`].
#[derive(Clone, Copy)]
pub(crate) struct Flag(u8);

/// The addresses by which a socket's peer finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tuple {
    pub local: Endpoint,
    pub peer: Endpoint,
    /// The network namespace for loopback addresses, which exist in every namespace; 0 for other addresses.
    pub netns: u32,
}

/// The addresses of a translated connection on the other side of the translation.
pub(crate) struct Alias {
    /// The tuple that this end would have on the other side of the translation: the other end's tuple, reversed.
    pub tuple: Tuple,
    /// The local address of the other socket.
    pub actual: Endpoint,
}

// === impl Flag ===

impl Flag {
    /// The end is in the table of tuples.
    pub const LISTED: Self = Self(1);
    /// Several namespaces have the same addresses, so the peer's socket cannot be identified.
    pub const AMBIGUOUS: Self = Self(2);
    /// The local end's name is pending at a source of higher precedence than that of the current name.
    pub const LOCAL_PENDING: Self = Self(4);
    /// The peer's name is pending at a source of higher precedence than that of the current name.
    pub const PEER_PENDING: Self = Self(8);
    /// A conntrack look-up is pending.
    pub const TRANSLATION_PENDING: Self = Self(16);
    /// The conntrack look-up is done, with or without a result.
    pub const TRANSLATION_KNOWN: Self = Self(32);
    /// [`Waiting::Held`].
    pub const HELD: Self = Self(64);
    /// [`Waiting::Over`].
    pub const WAITED: Self = Self(128);

    /// Returns the union of two sets.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

// === impl End ===

impl End {
    /// Creates the end for a connection's first record, without names.
    pub fn new(record: &ConnectionRecord) -> Self {
        Self {
            id: record.id,
            cgroup: record.owner.cgroup,
            owner_source: record.owner.source,
            local: None,
            peer: None,
            version: 0,
            last_pass: 0,
            partner: NO_INDEX,
            local_rank: u8::MAX,
            flags: 0,
            at: if record.start_known { record.opened } else { record.observed },
            alias: None,
            tuple: Tuple::of(record),
            renames: 0,
            peer_rank: NOT_BY_ADDRESS,
        }
    }

    /// Stores the name of the peer's own socket.
    pub fn name_peer_by_socket(&mut self, name: Option<Handle<Workload>>) {
        self.peer = name;
        self.peer_rank = NOT_BY_ADDRESS;
    }

    /// Stores the name of the peer's address, if its source takes precedence over that of the address's current name, or is the same.
    pub(in crate::workload) fn name_peer_by_address(&mut self, found: Found) {
        if found.name.is_some() && found.rank <= self.peer_rank {
            self.peer = found.name;
            self.peer_rank = found.rank;
        }
    }

    /// Returns true if the names have to be looked up again. `version` is the sources' current one.
    #[inline]
    pub fn is_stale(&self, version: u32) -> bool {
        self.version != version || self.is(Flag::TRANSLATION_PENDING)
    }

    /// Returns true if one of the flags is set.
    #[inline]
    pub fn is(&self, flag: Flag) -> bool {
        self.flags & flag.0 != 0
    }

    /// Sets or clears the flags.
    #[inline]
    pub fn set(&mut self, flag: Flag, value: bool) {
        if value {
            self.flags |= flag.0;
        } else {
            self.flags &= !flag.0;
        }
    }
}

impl Identified for End {
    #[inline]
    fn id(&self) -> ConnectionId {
        self.id
    }

    fn id_mut(&mut self) -> &mut ConnectionId {
        &mut self.id
    }
}

impl ConnectionState for End {
    fn last_pass(&self) -> u16 {
        self.last_pass
    }

    fn waiting(&self) -> Waiting {
        match (self.is(Flag::HELD), self.is(Flag::WAITED)) {
            (true, _) => Waiting::Held,
            (false, true) => Waiting::Over,
            (false, false) => Waiting::No,
        }
    }

    fn set_waiting(&mut self, waiting: Waiting) {
        self.set(Flag::HELD, waiting == Waiting::Held);
        self.set(Flag::WAITED, waiting == Waiting::Over);
    }
}

// === impl Tuple ===

impl Tuple {
    /// Returns the tuple of the record's socket.
    pub fn of(record: &ConnectionRecord) -> Self {
        Self::between(record.local, record.peer, record.id.netns)
    }

    /// Returns the tuple of a socket in network namespace `netns`.
    pub fn between(local: Endpoint, peer: Endpoint, netns: u32) -> Self {
        let loopback = local.address.is_loopback() || peer.address.is_loopback();
        Self { local, peer, netns: if loopback { netns } else { 0 } }
    }

    /// Returns the other end's tuple.
    pub fn reversed(&self) -> Self {
        Self { local: self.peer, peer: self.local, netns: self.netns }
    }

    /// Returns true if both ports are known.
    pub fn is_complete(&self) -> bool {
        self.local.port != 0 && self.peer.port != 0
    }
}
