//! [`Lookup`]: finds a connection's service.

use std::sync::Arc;

use longwave_pipeline::component::{Answer, Directory};
use longwave_pipeline::model::{ConnectionId, ConnectionRecord, Endpoint, Handle, Role, Service, UnixNanos};

use crate::conntrack::{Conntrack, Translated};

/// The sources of services, and connection tracking.
pub(super) struct Lookup {
    /// Directories, in order of precedence.
    pub sources: Vec<Arc<dyn Directory>>,
    /// `None` if connection tracking is not queried.
    pub conntrack: Option<Arc<Conntrack>>,
}

// === impl Lookup ===

impl Lookup {
    /// Returns a number that changes when a pending answer may be known.
    pub fn version(&self) -> u32 {
        let conntrack = self.conntrack.as_ref().map_or(0, |conntrack| conntrack.version());
        let versions = self.sources.iter().map(|source| source.version());
        versions.fold(conntrack, u64::wrapping_add) as u32
    }

    /// Returns the service that the record's client connected to.
    pub fn find(&self, record: &ConnectionRecord) -> Answer<Handle<Service>> {
        let (original, backend) = match self.translated(record) {
            Translated::To(translation) => (translation.original, translation.backend),
            Translated::Same | Translated::Unknown => (record.destination(), record.destination()),
            Translated::Pending => return Answer::Pending,
        };
        let at = if record.start_known { record.opened } else { record.observed };
        self.first(original, at, |source, end, at| source.service_of_address(end, at))
            .or_else(|| self.first(backend, at, |source, end, at| source.service_of_backend(end, at)))
    }

    /// Waits for a short time for pending results of connection tracking.
    pub fn await_results(&self) {
        if let Some(conntrack) = &self.conntrack {
            conntrack.await_results();
        }
    }

    /// Frees what connection tracking has cached for a closed connection.
    pub fn forget(&self, id: ConnectionId, role: Role) {
        if let Some(conntrack) = self.conntrack.as_ref().filter(|_| role != Role::Client) {
            conntrack.forget(id);
        }
    }

    /// Returns the translation of the connection. It is not queried for a client, whose socket has the address that it connected to.
    fn translated(&self, record: &ConnectionRecord) -> Translated {
        match &self.conntrack {
            Some(conntrack) if record.role != Role::Client => conntrack.query(record),
            _ => Translated::Same,
        }
    }

    /// Combines the answers of the sources, in their order, with [`Answer::or_else`].
    fn first(
        &self,
        end: Endpoint,
        at: UnixNanos,
        look_up: impl Fn(&dyn Directory, Endpoint, UnixNanos) -> Answer<Handle<Service>>,
    ) -> Answer<Handle<Service>> {
        let unknown = Answer::Unknown;
        self.sources
            .iter()
            .fold(unknown, |answer, source| answer.or_else(|| look_up(source.as_ref(), end, at)))
    }
}
