//! Sums since each series' creation: cumulative state lives in the exporter that was asked for it.

use std::collections::HashMap;
use std::sync::Arc;

use longwave_pipeline::model::{Attributes, Level, Measures, Series, UnixNanos};

/// Sums by series. A series is known by the address of its attributes, which stays its own as long as it is held here.
#[derive(Debug, Default)]
pub(crate) struct CumulativeState {
    series: HashMap<(usize, Level), Held>,
}

#[derive(Debug)]
struct Held {
    /// Keeps the address from being used again.
    _attributes: Arc<Attributes>,
    created: UnixNanos,
    sums: Measures,
}

impl CumulativeState {
    /// Adds a window's share and returns the sums; levels (`active`, `rtt_min`) are the window's.
    pub(crate) fn add(&mut self, series: &Series) -> &Measures {
        let start = || Held {
            _attributes: Arc::clone(&series.attributes),
            created: series.created,
            sums: Measures::default(),
        };
        let held = self.series.entry(key(series)).or_insert_with(start);
        if held.created != series.created {
            *held = start();
        }
        held.sums.merge(&series.measures);
        held.sums.active = series.measures.active;
        held.sums.rtt_min = series.measures.rtt_min;
        &held.sums
    }

    /// Forgets a series after its last window.
    pub(crate) fn forget_if_ended(&mut self, series: &Series) {
        if series.ended {
            self.series.remove(&key(series));
        }
    }

    /// Gives memory back after many series have ended.
    pub(crate) fn shrink(&mut self) {
        if self.series.capacity() / 4 > self.series.len() {
            self.series.shrink_to(self.series.len() * 2);
        }
    }

    /// Series that are held.
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }
}

fn key(series: &Series) -> (usize, Level) {
    (Arc::as_ptr(&series.attributes) as usize, series.level)
}
