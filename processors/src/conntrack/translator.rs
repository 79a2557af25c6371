//! [`Translator`]: what processors need of connection tracking.

use std::sync::Arc;

use longwave_pipeline::model::{ConnectionId, ConnectionRecord};

use super::{Conntrack, Translated};

/// Looks up the translations of connections. [`Conntrack`] implements it, and tests have a fake.
pub(crate) trait Translator: Send {
    /// See [`Conntrack::query`].
    fn query(&self, record: &ConnectionRecord) -> Translated;
    /// See [`Conntrack::version`].
    fn version(&self) -> u64;
    /// See [`Conntrack::await_results`].
    fn await_results(&self);
    /// See [`Conntrack::forget`].
    fn forget(&self, id: ConnectionId);
}

impl Translator for Arc<Conntrack> {
    fn query(&self, record: &ConnectionRecord) -> Translated {
        Conntrack::query(self, record)
    }

    fn version(&self) -> u64 {
        Conntrack::version(self)
    }

    fn await_results(&self) {
        Conntrack::await_results(self);
    }

    fn forget(&self, id: ConnectionId) {
        Conntrack::forget(self, id);
    }
}
