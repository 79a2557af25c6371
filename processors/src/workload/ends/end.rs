//! One socket, and what identifies it for its peer.

use longwave_pipeline::model::{ConnectionId, ConnectionRecord, Endpoint, Handle, UnixNanos, Workload};

use crate::known::{Identified, NOBODY};

/// One socket. What every record needs is in the first 48 bytes: they are in one cache line, since a large allocation begins 16 bytes after
/// a page's start, and the stride is two lines. A larger alignment would keep the table from growing in place.
#[repr(C, align(16))]
pub(in crate::workload) struct End {
    pub id: ConnectionId,
    pub local: Option<Handle<Workload>>,
    pub peer: Option<Handle<Workload>>,
    /// The sources' version when they were last asked; 0: they have to be asked again.
    pub version: u32,
    /// The pass of the last record, its lower bits.
    pub seen: u16,
    flags: u8,
    /// The source that named `local`.
    pub local_rank: u8,
    /// cgroup that `local` was looked up by.
    pub cgroup: u64,
    /// When the connection's addresses were in use: its start, or its first record.
    pub at: UnixNanos,
    /// Where it is translated.
    pub alias: Option<Box<Alias>>,
    /// The socket at the other end, or [`NOBODY`].
    pub partner: u32,
    pub tuple: Tuple,
}

/// Two cache lines, an empty slot included.
const _: () = assert!(size_of::<Option<End>>() == 128);

/// What is true of an end.
#[derive(Clone, Copy)]
pub(in crate::workload) struct Flag(u8);

/// What identifies a socket for its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::workload) struct Tuple {
    pub local: Endpoint,
    pub peer: Endpoint,
    /// The namespace for loopback addresses, which exist in each; 0 for others.
    pub netns: u32,
}

/// A translated connection as its other end sees it.
pub(in crate::workload) struct Alias {
    /// The tuple that this end would have were it on the other side of the translation: the other end's, reversed.
    pub tuple: Tuple,
    /// The other socket's own address.
    pub actual: Endpoint,
}

// === impl Flag ===

impl Flag {
    /// Its tuple is in the table.
    pub const LISTED: Self = Self(1);
    /// Several namespaces have the same addresses: nobody can tell whose end this is.
    pub const AMBIGUOUS: Self = Self(2);
    /// A better name of the local end may be on its way.
    pub const LOCAL_PENDING: Self = Self(4);
    /// A better name of the peer may be on its way.
    pub const PEER_PENDING: Self = Self(8);
    /// Whether it is translated was asked.
    pub const TRANSLATION_PENDING: Self = Self(16);
    /// Whether it is translated is known, or that nobody can tell.
    pub const TRANSLATION_KNOWN: Self = Self(32);
    /// Records of it wait.
    pub const HELD: Self = Self(64);
    /// It has waited once.
    pub const WAITED: Self = Self(128);

    /// One of both.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

// === impl End ===

impl End {
    /// Of a connection's first record; not named yet.
    pub fn new(record: &ConnectionRecord, pass: u16) -> Self {
        Self {
            id: record.id,
            cgroup: record.owner.cgroup,
            local: None,
            peer: None,
            version: 0,
            seen: pass,
            partner: NOBODY,
            local_rank: u8::MAX,
            flags: 0,
            at: if record.start_known { record.opened } else { record.observed },
            alias: None,
            tuple: Tuple::of(record),
        }
    }

    /// One of the flags is up.
    #[inline]
    pub fn is(&self, flag: Flag) -> bool {
        self.flags & flag.0 != 0
    }

    /// Puts the flags up, or down.
    #[inline]
    pub fn set(&mut self, flag: Flag, up: bool) {
        if up {
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

// === impl Tuple ===

impl Tuple {
    /// The record's own.
    pub fn of(record: &ConnectionRecord) -> Self {
        Self::between(record.local, record.peer, record.id.netns)
    }

    /// Of a socket in `netns`.
    pub fn between(local: Endpoint, peer: Endpoint, netns: u32) -> Self {
        let loopback = local.address.is_loopback() || peer.address.is_loopback();
        Self { local, peer, netns: if loopback { netns } else { 0 } }
    }

    /// The other end's.
    pub fn reversed(&self) -> Self {
        Self { local: self.peer, peer: self.local, netns: self.netns }
    }

    /// Both ports are known.
    pub fn is_complete(&self) -> bool {
        self.local.port != 0 && self.peer.port != 0
    }
}
