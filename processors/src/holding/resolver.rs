//! [`Resolver`]: the part of a [`super::Holding`] that finds names.

use std::time::Instant;

use longwave_pipeline::model::{ConnectionRecord, Handle, Names, Service, Workload};

use crate::connection_map::{ConnectionMap, Identified};

/// Finds the names of connections and stores them by connection.
pub(crate) trait Resolver {
    /// State of one connection.
    type Connection: ConnectionState;

    /// Whether the records of a batch that is not shared may be named as soon as their own connection is resolved, while the CPU's cache
    /// contains them.
    const NAMES_EARLY: bool;
    /// Whether a later record of a connection may wait after one was refused because there was no room.
    const REFUSED_MAY_WAIT: bool;

    /// Returns the stored connections.
    fn connections(&self) -> &ConnectionMap<Self::Connection>;

    /// Returns the stored connections.
    fn connections_mut(&mut self) -> &mut ConnectionMap<Self::Connection>;

    /// Reads the changes of the sources, once per batch. Returns true if pending names may be known now.
    fn refresh(&mut self, now: Instant) -> bool;

    /// Resolves the connection of a record, at its first record (`index` is `None`) and while names are pending. Returns its index, and
    /// sets the flags of `batch` that the record needs.
    fn resolve(&mut self, index: Option<u32>, record: &ConnectionRecord, batch: &mut BatchContext) -> u32;

    /// Resolves again a held connection. `record` is its first held record.
    fn resolve_again(&mut self, index: u32, record: &ConnectionRecord, now: Instant);

    /// Returns true if records since the last call may have settled the names of connections with held records.
    fn take_changes(&mut self) -> bool {
        false
    }

    /// Returns true if the record should wait for a name. Never true once the connection's wait is [`Waiting::Over`].
    fn waits(&self, index: u32, record: &ConnectionRecord) -> bool;

    /// Returns the names of a connection that are known by now.
    fn names(&self, index: u32) -> ResolvedNames<'_>;

    /// Removes a connection after its last record. `index` may be stale or [`crate::connection_map::NO_INDEX`].
    fn end(&mut self, index: u32, record: &ConnectionRecord);

    /// Removes connections that have had no record for a long time. Called from time to time, even if there are none.
    fn forget(&mut self, silent: &[u32]);

    /// Waits for a short time until pending names are known. Called when the receiver has stopped, because no later batch follows.
    fn await_results(&self);

    /// Adds what was counted since the last call to the self-telemetry.
    fn report(&mut self) {}
}

/// What [`super::Holding`] stores with a connection's state.
pub(crate) trait ConnectionState: Identified {
    /// Returns the pass of the last record ([`BatchContext::pass`]).
    fn last_pass(&self) -> u16;

    /// Returns whether records of the connection wait.
    fn waiting(&self) -> Waiting;

    /// Stores whether records of the connection wait.
    fn set_waiting(&mut self, waiting: Waiting);
}

/// Whether records of a connection wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// No record waits.
    #[default]
    No,
    /// Some records are held.
    Held,
    /// Records have waited, but the names did not become known in time. No record of the connection waits again.
    Over,
}

/// The batch that is being resolved, and flags for the steps that its records need. Steps that no record needs are skipped.
#[derive(Debug)]
pub(crate) struct BatchContext {
    /// Time at which the batch arrived.
    pub now: Instant,
    /// Number of the receiver's current pass, modulo 65,536.
    pub pass: u16,
    /// Whether some connections have names.
    pub has_names: bool,
    /// Whether some records may have to wait.
    pub may_wait: bool,
    /// Whether the batch contains last records of connections.
    pub has_ends: bool,
}

/// Names of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ResolvedNames<'a> {
    /// The local workload.
    pub local: Option<&'a Handle<Workload>>,
    /// The peer's workload.
    pub peer: Option<&'a Handle<Workload>>,
    /// The service.
    pub service: Option<&'a Handle<Service>>,
}

// === impl ResolvedNames ===

impl ResolvedNames<'_> {
    /// Returns true if the record lacks one of the names.
    #[inline]
    pub(super) fn are_missing_in(self, record: &ConnectionRecord) -> bool {
        let Names { local, peer, service } = &record.names;
        (local.is_none() && self.local.is_some())
            || (peer.is_none() && self.peer.is_some())
            || (service.is_none() && self.service.is_some())
    }

    /// Writes the names that the record lacks.
    #[inline]
    pub(super) fn write(self, record: &mut ConnectionRecord) {
        write(&mut record.names.local, self.local);
        write(&mut record.names.peer, self.peer);
        write(&mut record.names.service, self.service);
    }
}

#[inline]
fn write<T: Clone>(name: &mut Option<T>, resolved: Option<&T>) {
    if let (None, Some(resolved)) = (&name, resolved) {
        *name = Some(resolved.clone());
    }
}
