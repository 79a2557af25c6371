//! [`Batch`]: what a channel between two stages carries.

use std::sync::Arc;

use crate::model::record::{ConnectionRecord, Totals};
use crate::model::time::UnixNanos;
use crate::model::window::Window;

/// One message between two stages. Stages share its content; a stage that changes it clones it first ([`Arc::make_mut`]).
#[derive(Clone, Debug)]
pub enum Batch {
    /// Records in the order of their observation.
    Records(Arc<Vec<ConnectionRecord>>),
    /// The end of a pass: all records of windows that end at or before its tick were sent.
    PassEnd(PassEnd),
    /// One closed window.
    Window(Arc<Window>),
}

/// The watermark: windows up to its tick are complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassEnd {
    /// Windows that end at or before this time are complete.
    pub tick: UnixNanos,
    /// Whether the receiver stops. Then `tick` may be within an interval, and no batch follows.
    pub last: bool,
}

// === impl Batch ===

impl Batch {
    /// Makes a batch of records.
    pub fn records(records: Vec<ConnectionRecord>) -> Self {
        Self::Records(Arc::new(records))
    }

    /// Returns the number of items for accounting: records, or metric data points; 0 for a watermark.
    pub fn items(&self) -> u64 {
        match self {
            Self::Records(records) => records.len() as u64,
            Self::PassEnd(_) => 0,
            Self::Window(window) => window.point_count(),
        }
    }

    /// Returns the traffic that the batch reports, in sent plus received bytes: the deltas of records, or the sums of a window's
    /// coarsest level.
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

/// Returns the sum of the traffic. Saturates.
fn sum<'a>(totals: impl Iterator<Item = &'a Totals>) -> u64 {
    totals.fold(0, |sum: u64, totals| sum.saturating_add(totals.traffic_bytes()))
}
