//! [`LevelTable`]: the series of level `service` or `workload`.

use std::sync::Arc;

use longwave_pipeline::model::{
    Level, Measures, Names, Role, Series, SeriesAttributes, SeriesKey, UnixNanos,
};

use super::series_keys::{Rooms, SeriesKeys, SeriesSlot};
use crate::slab::Slab;

/// Series of one level.
pub(super) struct LevelTable {
    level: Level,
    attributes: SeriesAttributes,
    keys: SeriesKeys,
    series: Slab<TableSeries>,
}

struct TableSeries {
    key: Arc<SeriesKey>,
    created: UnixNanos,
    /// Sums of the window that is being closed. `None` if no pair contributes to them: the series has ended.
    measures: Option<Measures>,
}

// === impl LevelTable ===

impl LevelTable {
    /// Creates an empty table with at most `max_series` series, and those into which others are folded; 0 means no limit.
    pub fn new(level: Level, attributes: SeriesAttributes, max_series: u32) -> Self {
        Self { level, attributes, keys: SeriesKeys::new(max_series), series: Slab::default() }
    }

    /// Returns the series of connections with these names. Creates it if necessary; if there is no room, returns a coarser series.
    pub fn find_or_create(&mut self, role: Role, names: &Names, now: UnixNanos) -> SeriesSlot {
        let Self { attributes, keys, series, .. } = self;
        keys.find_or_create(SeriesKey::of_names(role, names, attributes), |key| {
            series.insert(TableSeries { key, created: now, measures: None })
        })
    }

    /// Returns the number of series.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Returns where there is room for new series.
    pub fn rooms(&self) -> Rooms {
        self.keys.rooms()
    }

    /// Adds a pair's measures to a series of the window that is being closed.
    pub fn contribute(&mut self, index: u32, measures: &Measures) {
        if let Some(series) = self.series.get_mut(index) {
            series.measures.get_or_insert_default().merge(measures);
        }
    }

    /// Appends every series of the window that is being closed to `into`, and removes those that ended. Returns the number of series.
    pub fn export(&mut self, into: &mut Vec<Series>) -> u64 {
        let before = into.len();
        let Self { level, keys, series, .. } = self;
        series.retain(|_, series| {
            let measures = series.measures.take();
            let ended = measures.is_none();
            into.push(Series {
                level: *level,
                key: Arc::clone(&series.key),
                created: series.created,
                ended,
                measures: measures.unwrap_or_default(),
            });
            if ended {
                keys.remove(&series.key);
            }
            !ended
        });
        (into.len() - before) as u64
    }
}
