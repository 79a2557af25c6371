//! Sums since each series' creation. Only exporters with cumulative temporality keep them.

use std::collections::HashMap;
use std::sync::Arc;

use longwave_pipeline::model::{Level, Measures, Series, SeriesKey, UnixNanos};

/// Sums by series. The address of a series' key identifies it: [`SeriesSums`] keeps the key alive, so the address is unique.
#[derive(Debug, Default)]
pub(crate) struct CumulativeState {
    series: HashMap<(usize, Level), SeriesSums>,
}

#[derive(Debug)]
struct SeriesSums {
    /// Kept so that the address is not reused.
    _key: Arc<SeriesKey>,
    created: UnixNanos,
    measures: Measures,
}

impl CumulativeState {
    /// Adds a window's measures to the series' sums, and returns the sums. `active` and `min_rtt` are those of the window.
    pub(crate) fn add(&mut self, series: &Series) -> &Measures {
        let start = || SeriesSums {
            _key: Arc::clone(&series.key),
            created: series.created,
            measures: Measures::default(),
        };
        let sums = self.series.entry(address(series)).or_insert_with(start);
        if sums.created != series.created {
            *sums = start();
        }
        sums.measures.merge(&series.measures);
        sums.measures.active = series.measures.active;
        sums.measures.min_rtt = series.measures.min_rtt;
        &sums.measures
    }

    /// Removes a series after its last window.
    pub(crate) fn remove_if_ended(&mut self, series: &Series) {
        if series.ended {
            self.series.remove(&address(series));
        }
    }

    /// Releases memory if few series remain.
    pub(crate) fn shrink(&mut self) {
        if self.series.capacity() / 4 > self.series.len() {
            self.series.shrink_to(self.series.len() * 2);
        }
    }

    /// Returns the number of series.
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }
}

fn address(series: &Series) -> (usize, Level) {
    (Arc::as_ptr(&series.key) as usize, series.level)
}
