//! [`ServiceProcessor`], and the [`ServiceResolver`] that finds its names.

use std::convert::Infallible;
use std::path::Path;
use std::time::Instant;

use longwave_pipeline::component::host::HostAddresses;
use longwave_pipeline::component::{Answer, ComponentError, ProcessorContext};
use longwave_pipeline::model::{ConnectionId, ConnectionRecord, Handle, Service};

use super::config::ServiceConfig;
use super::lookup::Lookup;
use super::telemetry::{Tally, Telemetry};
use crate::connection_map::{ConnectionMap, Identified, NO_INDEX};
use crate::conntrack::{Conntrack, Translator};
use crate::holding::{BatchContext, ConnectionState, Holding, ResolvedNames, Resolver, Waiting};

/// Names the service of each connection.
pub type ServiceProcessor = Holding<ServiceResolver>;

/// Finds the service of each connection once, and stores it until the connection closes.
pub struct ServiceResolver {
    lookup: Lookup,
    /// [`Lookup::version`] at the last refresh.
    version: u32,
    pub(super) connections: ConnectionMap<Connection>,
    telemetry: Telemetry,
    pub(super) tally: Tally,
}

/// State of one connection.
pub(crate) struct Connection {
    id: ConnectionId,
    service: Option<Handle<Service>>,
    /// [`Lookup::version`] at the last look-up.
    version: u32,
    last_pass: u16,
    waiting: Waiting,
    /// Whether the look-up is complete: the service is known, or there is none.
    is_settled: bool,
}

// === impl ServiceProcessor ===

impl ServiceProcessor {
    /// Creates a processor without connections.
    ///
    /// # Errors
    /// A source is not an extension that resolves names.
    pub fn new(config: &ServiceConfig, context: &ProcessorContext) -> Result<Self, ComponentError> {
        let conntrack = config.conntrack.then(|| Conntrack::shared(context));
        let translator = conntrack.map(|conntrack| Box::new(conntrack) as Box<dyn Translator>);
        Self::with(config, context, translator)
    }

    /// Creates the processor with another connection tracking, or without it.
    pub(super) fn with(
        config: &ServiceConfig,
        context: &ProcessorContext,
        conntrack: Option<Box<dyn Translator>>,
    ) -> Result<Self, ComponentError> {
        let sources = config.sources.iter().map(|id| {
            context
                .directories
                .get(id)
                .map_err(|error| ComponentError::new(format!("processors::{}: sources: {error}", context.id)))
        });
        let host = context.shared.get_or_make(|| Ok::<_, Infallible>(HostAddresses::new(Path::new("/proc"))));
        let Ok(host) = host;
        let resolver = ServiceResolver {
            lookup: Lookup { sources: sources.collect::<Result<_, _>>()?, conntrack, host },
            version: 0,
            connections: ConnectionMap::default(),
            telemetry: Telemetry::new(context),
            tally: Tally::default(),
        };
        Ok(Self::with_resolver(resolver, context, config.hold.get()))
    }
}

// === impl ServiceResolver ===

impl Resolver for ServiceResolver {
    type Connection = Connection;

    const NAMES_EARLY: bool = true;
    const REFUSED_MAY_WAIT: bool = false;

    #[inline]
    fn connections(&self) -> &ConnectionMap<Connection> {
        &self.connections
    }

    #[inline]
    fn connections_mut(&mut self) -> &mut ConnectionMap<Connection> {
        &mut self.connections
    }

    fn refresh(&mut self, _: Instant) -> bool {
        let version = self.lookup.version();
        std::mem::replace(&mut self.version, version) != version
    }

    #[inline]
    fn resolve(&mut self, index: Option<u32>, record: &ConnectionRecord, batch: &mut BatchContext) -> u32 {
        let Self { lookup, version, connections, tally, .. } = self;
        if record.names.service.is_some() {
            return index.unwrap_or(NO_INDEX);
        }
        let index = index.unwrap_or_else(|| connections.insert(Connection::new(record, *version)));
        if let Some(connection) = connections.get_mut(index) {
            connection.last_pass = batch.pass;
            connection.look_up(record, *version, lookup, tally);
            batch.has_names |= connection.service.is_some();
            batch.may_wait |= connection.may_wait();
        }
        index
    }

    fn resolve_again(&mut self, index: u32, record: &ConnectionRecord, _: Instant) {
        let Self { lookup, version, connections, tally, .. } = self;
        if let Some(connection) = connections.get_mut(index) {
            connection.look_up(record, *version, lookup, tally);
        }
    }

    fn waits(&self, index: u32, record: &ConnectionRecord) -> bool {
        record.names.service.is_none() && self.connections.get(index).is_some_and(Connection::may_wait)
    }

    #[inline]
    fn names(&self, index: u32) -> ResolvedNames<'_> {
        let service = self.connections.get(index).and_then(|connection| connection.service.as_ref());
        ResolvedNames { service, ..ResolvedNames::default() }
    }

    fn end(&mut self, index: u32, record: &ConnectionRecord) {
        let index = self.connections.confirm(index, record.id);
        let ended = index.and_then(|index| self.connections.remove(index));
        self.tally.unknown += u64::from(ended.is_some_and(|ended| !ended.is_settled));
        self.lookup.forget(record);
    }

    fn forget(&mut self, silent: &[u32]) {
        for index in silent {
            self.connections.remove(*index);
        }
    }

    fn await_results(&self) {
        self.lookup.await_results();
    }

    fn report(&mut self) {
        self.telemetry.report(&mut self.tally);
    }
}

// === impl Connection ===

impl Connection {
    /// Creates the state for a connection's first record, without a look-up.
    fn new(record: &ConnectionRecord, version: u32) -> Self {
        Self {
            id: record.id,
            service: None,
            version: version.wrapping_sub(1),
            last_pass: 0,
            waiting: Waiting::No,
            is_settled: false,
        }
    }

    /// Returns true if an answer is pending that records may wait for.
    #[inline]
    fn may_wait(&self) -> bool {
        !self.is_settled && self.waiting != Waiting::Over
    }

    /// Looks up the service if it is pending and may be known by now.
    #[inline]
    fn look_up(&mut self, record: &ConnectionRecord, version: u32, lookup: &Lookup, tally: &mut Tally) {
        if !self.is_settled && self.version != version {
            self.version = version;
            self.settle(lookup.find(record), tally);
        }
    }

    fn settle(&mut self, answer: Answer<Handle<Service>>, tally: &mut Tally) {
        self.service = match answer {
            Answer::Pending => return,
            Answer::Known(service) | Answer::Partial(service) => Some(service),
            Answer::Unknown => None,
        };
        self.is_settled = true;
        match &self.service {
            Some(service) if service.ambiguous => tally.ambiguous += 1,
            Some(_) => tally.named += 1,
            None => tally.unknown += 1,
        }
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

impl ConnectionState for Connection {
    fn last_pass(&self) -> u16 {
        self.last_pass
    }

    fn waiting(&self) -> Waiting {
        self.waiting
    }

    fn set_waiting(&mut self, waiting: Waiting) {
        self.waiting = waiting;
    }
}
