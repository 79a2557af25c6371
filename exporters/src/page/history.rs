//! [`History`]: rates and counts of each flow in the last windows.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};

use longwave_pipeline::model::Level;

use super::query::FlowId;
use super::window::LevelFlows;
use crate::flows::Flow;

/// Number of windows that are kept: five minutes with an interval of 5 s.
pub(super) const WINDOWS: usize = 60;
/// Number of flows of a level that are kept of each window, the busiest ones. Limits the memory to 60 × 3 × 1,000 × 56 bytes.
const MAX_FLOWS: usize = 1_000;
/// Number of windows whose rates determine the order of the table, so that one burst does not move a row.
const RANKED_WINDOWS: usize = 12;

/// The last windows, the oldest first.
#[derive(Default)]
pub(super) struct History(VecDeque<PastWindow>);

#[derive(Default)]
struct PastWindow {
    totals: HashMap<Level, Sample>,
    flows: HashMap<FlowId, Sample>,
}

/// Rates and counts of one flow in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// Bytes a second from source to destination.
    pub(super) towards: f64,
    /// Bytes a second from destination to source.
    pub(super) back: f64,
    pub(super) retransmits: u64,
    pub(super) failed: u64,
    /// Mean round trip in seconds.
    pub(super) round_trip: Option<f64>,
}

// === impl History ===

impl History {
    /// Adds a window. Removes the oldest one if there are [`WINDOWS`] already.
    pub(super) fn add(&mut self, levels: Vec<(Level, &LevelFlows)>) {
        let mut past = PastWindow::default();
        for (level, flows) in levels {
            past.totals.insert(level, Sample::of(&flows.total));
            let mut busiest: Vec<&Flow> = flows.all.iter().collect();
            busiest.sort_by_cached_key(|flow| Reverse((flow.is_troubled(), flow.bytes())));
            busiest.truncate(MAX_FLOWS);
            past.flows.extend(busiest.into_iter().map(|flow| (FlowId::of(level, flow), Sample::of(flow))));
        }
        if self.0.len() == WINDOWS {
            self.0.pop_front();
        }
        self.0.push_back(past);
    }

    /// Returns the samples of a flow, the oldest first. `None` for windows in which it was not seen.
    pub(super) fn of_flow(&self, flow: FlowId) -> Vec<Option<Sample>> {
        self.0.iter().map(|past| past.flows.get(&flow).copied()).collect()
    }

    /// Returns the sums of a level, the oldest first.
    pub(super) fn of_level(&self, level: Level) -> Vec<Option<Sample>> {
        self.0.iter().map(|past| past.totals.get(&level).copied()).collect()
    }

    /// Returns the sum of the byte rates of a flow in the last [`RANKED_WINDOWS`] windows, for the order of the rows.
    pub(super) fn rank(&self, flow: FlowId) -> f64 {
        let samples = self.0.iter().rev().take(RANKED_WINDOWS).filter_map(|past| past.flows.get(&flow));
        samples.map(|sample| sample.towards + sample.back).sum()
    }
}

// === impl Sample ===

impl Sample {
    fn of(flow: &Flow) -> Self {
        let rate = |bytes: u64| if flow.seconds > 0.0 { bytes as f64 / flow.seconds } else { 0.0 };
        Self {
            towards: rate(flow.towards),
            back: rate(flow.back),
            retransmits: flow.retransmits,
            failed: flow.failed,
            round_trip: flow.round_trip(),
        }
    }
}
