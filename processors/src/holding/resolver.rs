//! [`Resolver`]: what [`super::Holding`] needs to know of names.

use std::time::Instant;

use longwave_pipeline::model::{ConnectionRecord, Handle, Names, Service, Workload};

use crate::known::{Identified, Known};

/// Finds the names of connections and stores them by connection.
pub(crate) trait Resolver {
    /// State of one connection.
    type Connection: ConnectionState;

    /// Whether records of a batch that is not shared may be named as soon as their own connection is resolved, while they are in the cache.
    const NAMES_EARLY: bool;
    /// Whether a connection whose record found no room may wait with a later record.
    const REFUSED_MAY_WAIT: bool;

    /// Returns the stored connections.
    fn connections(&self) -> &Known<Self::Connection>;

    /// Returns the stored connections.
    fn connections_mut(&mut self) -> &mut Known<Self::Connection>;

    /// Picks up changes of the sources, once per batch. Returns true if pending names may be known now.
    fn refresh(&mut self, now: Instant) -> bool;

    /// Resolves the connection of a record: at the first record (`index` is `None`), and while names are pending. Returns its index, and
    /// notes in `batch` what has to be done.
    fn resolve(&mut self, index: Option<u32>, record: &ConnectionRecord, batch: &mut BatchContext) -> u32;

    /// Resolves a connection again whose first held record is `record`.
    fn resolve_again(&mut self, index: u32, record: &ConnectionRecord, now: Instant);

    /// Returns true if records of the last batch may have settled the names of connections that are held, since the last call.
    fn take_changes(&mut self) -> bool {
        false
    }

    /// Returns true if the record should wait for a name. Never true once the connection's wait is [`Waiting::Over`].
    fn waits(&self, index: u32, record: &ConnectionRecord) -> bool;

    /// Returns the names of a connection that are known by now.
    fn names(&self, index: u32) -> ResolvedNames<'_>;

    /// Ends a connection; `index` may be stale or [`crate::known::NO_INDEX`].
    fn end(&mut self, index: u32, record: &ConnectionRecord);

    /// Removes connections that have had no record for a long time. Called once in a while, also with none.
    fn forget(&mut self, silent: &[u32]);

    /// Waits a moment for pending answers: the receiver has stopped, so there is no later chance.
    fn await_answers(&self);

    /// Reports what was counted since the last call.
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
    /// None does.
    #[default]
    No,
    /// Some are held.
    Held,
    /// They waited in vain, and none waits again.
    Over,
}

/// The batch that is being resolved, and what its records need: steps that no record needs are skipped.
#[derive(Debug)]
pub(crate) struct BatchContext {
    /// When the batch came.
    pub now: Instant,
    /// The receiver's current pass.
    pub pass: u16,
    /// Some connections have names.
    pub has_names: bool,
    /// Some records may have to wait.
    pub may_wait: bool,
    /// Some connections end.
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

    /// Writes those names into the record that it lacks.
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
