//! [`Lookup`]: finds a connection's service.

use std::sync::Arc;

use longwave_pipeline::component::host::HostAddresses;
use longwave_pipeline::component::{Answer, Directory};
use longwave_pipeline::model::{ConnectionId, ConnectionRecord, Endpoint, Handle, Role, Service, UnixNanos};

use crate::conntrack::{Translated, Translation, Translator};

/// The sources of services, and connection tracking.
pub(super) struct Lookup {
    /// Directories, in order of precedence.
    pub sources: Vec<Arc<dyn Directory>>,
    /// `None` if connection tracking is not queried.
    pub conntrack: Option<Box<dyn Translator>>,
    /// Addresses of this host.
    pub host: Arc<HostAddresses>,
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
        let translation = match self.translated(record) {
            Translated::To(translation) => Some(translation),
            Translated::Same | Translated::Unknown => None,
            Translated::Pending => return Answer::Pending,
        };
        let seen = (record.destination(), record.destination());
        let (original, backend) = translation.map_or(seen, |found| (found.original, found.backend));
        let at = if record.start_known { record.opened } else { record.observed };
        self.first(original, at, |source, end, at| source.service_of_address(end, at))
            .or_else(|| match translation.is_some_and(|found| self.is_at_host(&found, record.id)) {
                true => self.first(original, at, |source, end, at| source.service_of_node_port(end.port, at)),
                false => Answer::Unknown,
            })
            .or_else(|| self.first(backend, at, |source, end, at| source.service_of_backend(end, at)))
    }

    /// Waits for a short time for pending results of connection tracking.
    pub fn await_results(&self) {
        if let Some(conntrack) = &self.conntrack {
            conntrack.await_results();
        }
    }

    /// Frees what connection tracking has cached for a closed connection.
    pub fn forget(&self, record: &ConnectionRecord) {
        if let Some(conntrack) = self.conntrack.as_ref().filter(|_| self.is_queried(record)) {
            conntrack.forget(record.id);
        }
    }

    /// Returns the translation of the connection.
    fn translated(&self, record: &ConnectionRecord) -> Translated {
        match &self.conntrack {
            Some(conntrack) if self.is_queried(record) => conntrack.query(record),
            _ => Translated::Same,
        }
    }

    /// Returns true if the translation is queried. The socket of a client has the address that it connected to. At an address of this host
    /// only the translation shows whether it is a node port, or a server of the host.
    fn is_queried(&self, record: &ConnectionRecord) -> bool {
        let Endpoint { address, port } = record.peer;
        record.role != Role::Client
            || (self.sources.iter().any(|source| source.is_node_port(port))
                && self.host.has(address, record.id))
    }

    /// Returns true if the client connected to an address of this host. A loopback address that was translated outside of the client's
    /// namespace, which masquerades the client, is the host's.
    fn is_at_host(&self, translation: &Translation, socket: ConnectionId) -> bool {
        let is_outside = !translation.seen.address.is_loopback();
        let netns = if is_outside { self.host.netns() } else { socket.netns };
        self.host.has(translation.original.address, ConnectionId { netns, ..socket })
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
