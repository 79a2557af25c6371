//! What a channel carries.

use std::sync::Arc;

use crate::record::{ConnectionRecord, UnixNanos};
use crate::window::Window;

/// One message between two stages. Shared on fan-out; cloned only by a stage that mutates ([`Arc::make_mut`]).
#[derive(Clone, Debug)]
pub enum Batch {
    /// Observations, in order.
    Records(Arc<Vec<ConnectionRecord>>),
    /// A pass is complete: every record that belongs to windows ending at or before its tick was sent.
    PassEnd(PassEnd),
    /// One closed window.
    Window(Arc<Window>),
}

/// The watermark that closes windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassEnd {
    /// Windows that end at or before this time are complete.
    pub tick: UnixNanos,
    /// The receiver stops: `tick` need not lie on an interval's boundary, and nothing follows.
    pub last: bool,
}

// === impl Batch ===

impl Batch {
    /// Wraps records.
    pub fn records(records: Vec<ConnectionRecord>) -> Self {
        Self::Records(Arc::new(records))
    }

    /// Items for accounting: records, or metric data points; 0 for a watermark.
    pub fn items(&self) -> u64 {
        match self {
            Self::Records(records) => records.len() as u64,
            Self::PassEnd(_) => 0,
            Self::Window(window) => window.point_count(),
        }
    }

    /// Traffic (sent + received bytes) that the batch tells of: for records their deltas, for a window its coarsest level's sums.
    pub fn traffic_bytes(&self) -> u64 {
        match self {
            Self::Records(records) => {
                records.iter().map(|r| r.delta.sent_bytes + r.delta.received_bytes).sum()
            }
            Self::PassEnd(_) => 0,
            Self::Window(window) => {
                let coarsest = window.series.iter().map(|series| series.level).min();
                let totals =
                    window.series.iter().filter(|s| Some(s.level) == coarsest).map(|s| &s.measures.totals);
                totals.map(|totals| totals.sent_bytes + totals.received_bytes).sum()
            }
        }
    }
}
