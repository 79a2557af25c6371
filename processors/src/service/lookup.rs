//! Finding a connection's service.

use std::sync::Arc;

use longwave_pipeline::component::{Answer, Directory};
use longwave_pipeline::model::{ConnectionId, ConnectionRecord, Endpoint, Handle, Role, Service, UnixNanos};

use crate::conntrack::{Conntrack, Translated};

/// Who is asked.
pub(super) struct Lookup {
    /// In order of precedence.
    pub sources: Vec<Arc<dyn Directory>>,
    /// Absent where it is not asked.
    pub conntrack: Option<Arc<Conntrack>>,
}

// === impl Lookup ===

impl Lookup {
    /// Moves when a pending answer may have come.
    pub fn version(&self) -> u32 {
        let conntrack = self.conntrack.as_ref().map_or(0, |conntrack| conntrack.version());
        let versions = self.sources.iter().map(|source| source.version());
        versions.fold(conntrack, u64::wrapping_add) as u32
    }

    /// The service that the record's client meant.
    pub fn find(&self, record: &ConnectionRecord) -> Answer<Handle<Service>> {
        let (asked, backend) = match self.translated(record) {
            Translated::To(translation) => (translation.asked, translation.backend),
            Translated::Same | Translated::Unknown => (record.destination(), record.destination()),
            Translated::Pending => return Answer::Pending,
        };
        let at = if record.start_known { record.opened } else { record.observed };
        self.first(asked, at, |source, end, at| source.service_of_address(end, at))
            .or_else(|| self.first(backend, at, |source, end, at| source.service_of_backend(end, at)))
    }

    /// Waits a moment for the pending answers of connection tracking.
    pub fn await_answers(&self) {
        if let Some(conntrack) = &self.conntrack {
            conntrack.await_answers();
        }
    }

    /// The connection has ended.
    pub fn forget(&self, id: ConnectionId, role: Role) {
        if let Some(conntrack) = self.conntrack.as_ref().filter(|_| role != Role::Client) {
            conntrack.forget(id);
        }
    }

    /// A client's socket has the address that it asked for: nothing is to be found out.
    fn translated(&self, record: &ConnectionRecord) -> Translated {
        match &self.conntrack {
            Some(conntrack) if record.role != Role::Client => conntrack.ask(record),
            _ => Translated::Same,
        }
    }

    fn first(
        &self,
        end: Endpoint,
        at: UnixNanos,
        ask: impl Fn(&dyn Directory, Endpoint, UnixNanos) -> Answer<Handle<Service>>,
    ) -> Answer<Handle<Service>> {
        let nobody = Answer::Unknown;
        self.sources.iter().fold(nobody, |answer, source| answer.or_else(|| ask(source.as_ref(), end, at)))
    }
}
