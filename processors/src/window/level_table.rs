//! [`LevelTable`]: the series of level `service` or `workload`: at most `max`, and an overflow series for all others.

use std::sync::Arc;

use hashbrown::HashMap;
use longwave_pipeline::model::{Level, Measures, Series, SeriesKey, UnixNanos};

use crate::slab::Slab;

/// Series of one level.
pub(super) struct LevelTable {
    level: Level,
    /// Maximum number of series, without the overflow series; `usize::MAX`: no limit.
    max: usize,
    by_key: HashMap<Arc<SeriesKey>, u32, foldhash::fast::RandomState>,
    series: Slab<TableSeries>,
    overflow: Option<u32>,
}

struct TableSeries {
    key: Arc<SeriesKey>,
    created: UnixNanos,
    /// Sums of the window that is being closed. `None` if no pair contributes to them: the series has ended.
    measures: Option<Measures>,
}

/// Index of the series that a key's measures are added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeriesSlot {
    pub index: u32,
    /// Whether it is the overflow series.
    pub folded: bool,
}

// === impl LevelTable ===

impl LevelTable {
    /// Creates an empty table with at most `max` series; 0 means no limit.
    pub fn new(level: Level, max: u32) -> Self {
        Self { level, max: limit(max), by_key: HashMap::default(), series: Slab::default(), overflow: None }
    }

    /// Returns the series of `key`. Creates it if necessary; if there is no room, returns the overflow series.
    pub fn find_or_create(&mut self, key: SeriesKey, now: UnixNanos) -> SeriesSlot {
        if let Some(index) = self.by_key.get(&key) {
            return SeriesSlot { index: *index, folded: false };
        }
        if !self.has_room() {
            let index = *self
                .overflow
                .get_or_insert_with(|| self.series.insert(TableSeries::new(SeriesKey::Overflow, now)));
            return SeriesSlot { index, folded: true };
        }
        let new = TableSeries::new(key, now);
        let key = Arc::clone(&new.key);
        let index = self.series.insert(new);
        self.by_key.insert(key, index);
        SeriesSlot { index, folded: false }
    }

    /// Returns whether a new key can have a series of its own.
    pub fn has_room(&self) -> bool {
        self.by_key.len() < self.max
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
        let Self { level, by_key, series, overflow, .. } = self;
        series.retain(|index, series| {
            let measures = series.measures.take();
            let ended = measures.is_none();
            into.push(Series {
                level: *level,
                key: Arc::clone(&series.key),
                created: series.created,
                ended,
                measures: measures.unwrap_or_default(),
            });
            if ended && *overflow == Some(index) {
                *overflow = None;
            } else if ended {
                by_key.remove(&series.key);
            }
            !ended
        });
        (into.len() - before) as u64
    }
}

/// Converts `max_series`, where 0 means no limit.
pub(super) fn limit(max: u32) -> usize {
    if max == 0 { usize::MAX } else { max as usize }
}

// === impl TableSeries ===

impl TableSeries {
    fn new(key: SeriesKey, created: UnixNanos) -> Self {
        Self { key: Arc::new(key), created, measures: None }
    }
}
