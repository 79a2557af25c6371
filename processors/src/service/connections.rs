//! The services of known connections, by the connections' identity: a service is found once and kept here until the connection ends.

use longwave_pipeline::component::Answer;
use longwave_pipeline::model::{ConnectionId, ConnectionRecord, Handle, Service};

use super::lookup::Lookup;
use super::telemetry::Tally;
use crate::known::{Identified, Known, NOBODY, Passes, STRIDE};

/// All known connections.
#[derive(Default)]
pub(super) struct Connections {
    known: Known<Connection>,
    passes: Passes,
}

struct Connection {
    id: ConnectionId,
    service: Option<Handle<Service>>,
    /// The sources' version when they were asked last.
    version: u32,
    /// The pass of the last record.
    seen: u16,
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
pub(super) struct Found<'a> {
    pub service: Option<&'a Handle<Service>>,
    /// An answer is awaited that records may wait for.
    pub is_pending: bool,
}

// === impl Connections ===

impl Connections {
    /// The indices of some records' connections, for [`Connections::learn`].
    #[inline]
    pub fn look_up(&mut self, records: &[ConnectionRecord]) -> [u32; STRIDE] {
        self.known.look_up(records)
    }

    /// Finds the service of the record's connection, unless it is known. `index` is what [`Connections::look_up`] said, `version` the
    /// sources'. Returns the connection's index.
    #[inline]
    pub fn learn(
        &mut self,
        record: &ConnectionRecord,
        index: u32,
        version: u32,
        lookup: &Lookup,
        tally: &mut Tally,
    ) -> u32 {
        let Some(index) = self.known.confirm(index, record.id) else {
            return self.add(record, version, lookup, tally);
        };
        if let Some(connection) = self.known.get_mut(index) {
            connection.seen = self.passes.current();
            connection.refresh(record, version, lookup, tally);
        }
        index
    }

    /// What is known of the connection at `index`.
    #[inline]
    pub fn found(&self, index: u32) -> Found<'_> {
        self.known.get(index).map_or(Found { service: None, is_pending: false }, |connection| Found {
            service: connection.service.as_ref(),
            is_pending: connection.state == State::Pending,
        })
    }

    /// The index of a connection that was learned of.
    pub fn index(&self, id: ConnectionId) -> Option<u32> {
        self.known.find(id)
    }

    /// Asks again about a connection whose records wait. True: they need not any more.
    pub fn is_settled(
        &mut self,
        record: &ConnectionRecord,
        version: u32,
        lookup: &Lookup,
        tally: &mut Tally,
    ) -> bool {
        let index = self.known.find(record.id).unwrap_or(NOBODY);
        let Some(connection) = self.known.get_mut(index) else { return true };
        connection.refresh(record, version, lookup, tally);
        connection.state != State::Pending
    }

    /// The connection's records have waited long enough.
    pub fn give_up(&mut self, index: u32) {
        if let Some(connection) = self.known.get_mut(index)
            && connection.state == State::Pending
        {
            connection.state = State::Overdue;
        }
    }

    /// The connection ended.
    pub fn end(&mut self, id: ConnectionId, tally: &mut Tally) {
        let ended = self.known.find(id).and_then(|index| self.known.remove(index));
        tally.unknown += u64::from(ended.is_some_and(|ended| ended.state != State::Settled));
    }

    /// A pass of the receiver is over.
    pub fn pass_end(&mut self) {
        if self.passes.end() {
            let passes = self.passes;
            for index in self.known.open_where(|connection| passes.is_silent(connection.seen)) {
                self.known.remove(index);
            }
        }
    }

    /// Connections known.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    fn add(&mut self, record: &ConnectionRecord, version: u32, lookup: &Lookup, tally: &mut Tally) -> u32 {
        let seen = self.passes.current();
        let mut connection =
            Connection { id: record.id, service: None, version, seen, state: State::Pending };
        connection.settle(record, version, lookup, tally);
        self.known.insert(connection)
    }
}

impl Identified for Connection {
    #[inline]
    fn id(&self) -> ConnectionId {
        self.id
    }

    fn id_mut(&mut self) -> &mut ConnectionId {
        &mut self.id
    }
}

// === impl Connection ===

impl Connection {
    /// Asks again where an answer is awaited and may have come.
    #[inline]
    fn refresh(&mut self, record: &ConnectionRecord, version: u32, lookup: &Lookup, tally: &mut Tally) {
        if self.state != State::Settled && self.version != version {
            self.settle(record, version, lookup, tally);
        }
    }

    #[cold]
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
