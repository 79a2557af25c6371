//! The services of known connections, by the connections' identity: a service is found once and kept here until the connection ends.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use longwave_pipeline::directory::Answer;
use longwave_pipeline::record::{ConnectionId, ConnectionRecord};
use longwave_pipeline::{Handle, Service};

use super::lookup::Lookup;
use super::telemetry::Tally;
use crate::slab::Slab;

/// Records whose connections are looked up at a time.
pub(super) const STRIDE: usize = 32;
/// Passes without a record after which a connection is forgotten: its end was lost on the way.
const SILENT_PASSES: u32 = 256;
/// Looking for silent connections visits them all: once in so many passes.
const SWEEP_EVERY: u32 = 64;

/// All known connections.
#[derive(Default)]
pub(super) struct Connections {
    hasher: RandomState,
    connections: Slab<Connection>,
    by_id: HashTable<u32>,
    pass: u32,
}

struct Connection {
    id: ConnectionId,
    service: Option<Handle<Service>>,
    /// The sources' version when they were asked last.
    version: u32,
    /// The pass of the last record.
    seen: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// An answer is awaited, and records wait for it.
    Pending,
    /// An answer is awaited; records have waited for it long enough.
    Overdue,
    /// Found, or known to be unknown.
    Settled,
}

/// What is known of a connection.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub service: Option<&'a Handle<Service>>,
    /// An answer is awaited that records may wait for.
    pub is_pending: bool,
}

// === impl Connections ===

impl Connections {
    /// Looks some records' connections up and returns the hashes of their ids, for [`Connections::learn`]: in a short loop the processor
    /// waits for several cache misses at a time.
    pub fn look_up(&self, records: &[ConnectionRecord]) -> [u64; STRIDE] {
        let mut hashes = [0; STRIDE];
        for (hash, record) in hashes.iter_mut().zip(records) {
            *hash = self.hasher.hash_one(record.id);
        }
        let mut seen = 0;
        for (hash, record) in hashes.iter().zip(records) {
            let found = self.find(*hash, record.id).and_then(|index| self.connections.get(index));
            seen ^= found.map_or(0, |connection| connection.seen);
        }
        std::hint::black_box(seen);
        hashes
    }

    /// Finds the service of the record's connection, unless it is known. `hash` is its id's, `version` the sources'. Returns the
    /// connection's index.
    #[inline]
    pub fn learn(
        &mut self,
        record: &ConnectionRecord,
        hash: u64,
        version: u32,
        lookup: &Lookup,
        tally: &mut Tally,
    ) -> u32 {
        let Some(index) = self.find(hash, record.id) else {
            return self.add(record, hash, version, lookup, tally);
        };
        if let Some(connection) = self.connections.get_mut(index) {
            connection.seen = self.pass;
            if connection.state != State::Settled && connection.version != version {
                connection.settle(record, version, lookup, tally);
            }
        }
        index
    }

    /// What is known of the connection at `index`.
    #[inline]
    pub fn known(&self, index: u32) -> Known<'_> {
        self.connections.get(index).map_or(Known { service: None, is_pending: false }, |connection| Known {
            service: connection.service.as_ref(),
            is_pending: connection.state == State::Pending,
        })
    }

    /// The index of a connection that was learned of.
    pub fn index(&self, id: ConnectionId) -> Option<u32> {
        self.find(self.hasher.hash_one(id), id)
    }

    /// Asks again about a connection whose records wait. True: they need not any more.
    pub fn is_settled(
        &mut self,
        record: &ConnectionRecord,
        version: u32,
        lookup: &Lookup,
        tally: &mut Tally,
    ) -> bool {
        let hash = self.hasher.hash_one(record.id);
        let Some(connection) = self.find(hash, record.id).and_then(|index| self.connections.get_mut(index))
        else {
            return true;
        };
        if connection.state != State::Settled && connection.version != version {
            connection.settle(record, version, lookup, tally);
        }
        connection.state != State::Pending
    }

    /// The connection's records have waited long enough.
    pub fn give_up(&mut self, index: u32) {
        if let Some(connection) = self.connections.get_mut(index)
            && connection.state == State::Pending
        {
            connection.state = State::Overdue;
        }
    }

    /// The connection ended.
    pub fn end(&mut self, id: ConnectionId, tally: &mut Tally) {
        let hash = self.hasher.hash_one(id);
        let connections = &self.connections;
        let found =
            self.by_id.find_entry(hash, |index| connections.get(*index).is_some_and(|known| known.id == id));
        if let Ok(entry) = found {
            let (index, _) = entry.remove();
            if self.connections.remove(index).is_some_and(|gone| gone.state != State::Settled) {
                tally.unknown += 1;
            }
        }
    }

    /// A pass of the receiver is over.
    pub fn pass_end(&mut self) {
        self.pass = self.pass.wrapping_add(1);
        if !self.pass.is_multiple_of(SWEEP_EVERY) {
            return;
        }
        let (connections, pass) = (&mut self.connections, self.pass);
        self.by_id.retain(|index| {
            let is_silent = connections
                .get(*index)
                .is_none_or(|connection| pass.wrapping_sub(connection.seen) >= SILENT_PASSES);
            if is_silent {
                connections.remove(*index);
            }
            !is_silent
        });
    }

    /// Connections known.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    fn add(
        &mut self,
        record: &ConnectionRecord,
        hash: u64,
        version: u32,
        lookup: &Lookup,
        tally: &mut Tally,
    ) -> u32 {
        let mut connection =
            Connection { id: record.id, service: None, version, seen: self.pass, state: State::Pending };
        connection.settle(record, version, lookup, tally);
        let index = self.connections.insert(connection);
        let (connections, hasher) = (&self.connections, &self.hasher);
        self.by_id.insert_unique(hash, index, |index| {
            connections.get(*index).map_or(0, |connection| hasher.hash_one(connection.id))
        });
        index
    }

    #[inline]
    fn find(&self, hash: u64, id: ConnectionId) -> Option<u32> {
        self.by_id
            .find(hash, |index| self.connections.get(*index).is_some_and(|connection| connection.id == id))
            .copied()
    }
}

// === impl Connection ===

impl Connection {
    fn settle(&mut self, record: &ConnectionRecord, version: u32, lookup: &Lookup, tally: &mut Tally) {
        self.version = version;
        self.service = match lookup.find(record) {
            Answer::Pending => return,
            Answer::Known(service) => Some(service),
            Answer::Unknown => None,
        };
        self.state = State::Settled;
        match &self.service {
            Some(service) if service.ambiguous => tally.ambiguous += 1,
            Some(_) => tally.named += 1,
            None => tally.unknown += 1,
        }
    }
}
