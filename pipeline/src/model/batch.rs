//! What a channel carries.

use std::sync::Arc;

use crate::model::record::{ConnectionRecord, Totals};
use crate::model::time::UnixNanos;
use crate::model::window::Window;

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
            Self::Records(records) => sum(records.iter().map(|record| &record.delta)),
            Self::PassEnd(_) => 0,
            Self::Window(window) => {
                let coarsest = window.series.iter().map(|series| series.level).min();
                let series = window.series.iter().filter(|series| Some(series.level) == coarsest);
                sum(series.map(|series| &series.measures.totals))
            }
        }
    }
}

/// Sent and received bytes; saturates.
fn sum<'a>(totals: impl Iterator<Item = &'a Totals>) -> u64 {
    totals.fold(0, |sum: u64, totals| {
        sum.saturating_add(totals.sent_bytes).saturating_add(totals.received_bytes)
    })
}
