//! The series of one level (`service` or `workload`), at most `max` of them and one for what is beyond.

use std::sync::Arc;

use hashbrown::HashMap;
use longwave_pipeline::model::{Attributes, Level, Measures, Series, UnixNanos};

use crate::slab::Slab;

/// Series of one level.
pub(super) struct LevelTable {
    level: Level,
    /// Most series beside the overflow; `usize::MAX`: no limit.
    max: usize,
    by_key: HashMap<Arc<Attributes>, u32, foldhash::fast::RandomState>,
    series: Slab<State>,
    overflow: Option<u32>,
}

struct State {
    attributes: Arc<Attributes>,
    created: UnixNanos,
    /// The window's sums so far, while it is being closed; absent: nobody contributed, the series has ended.
    measures: Option<Measures>,
}

/// Where a key's measures go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Index of the series.
    pub index: u32,
    /// It is the overflow series.
    pub folded: bool,
}

// === impl LevelTable ===

impl LevelTable {
    /// No series yet. `max` 0: no limit.
    pub fn new(level: Level, max: u32) -> Self {
        Self { level, max: limit(max), by_key: HashMap::default(), series: Slab::default(), overflow: None }
    }

    /// The series of `key`: the one that is there, or a new one, or the overflow series if there is no room.
    pub fn place(&mut self, key: Attributes, now: UnixNanos) -> Place {
        if let Some(index) = self.by_key.get(&key) {
            return Place { index: *index, folded: false };
        }
        if !self.has_room() {
            let index = *self
                .overflow
                .get_or_insert_with(|| self.series.insert(State::new(Attributes::overflow(), now)));
            return Place { index, folded: true };
        }
        let state = State::new(key, now);
        let attributes = Arc::clone(&state.attributes);
        let index = self.series.insert(state);
        self.by_key.insert(attributes, index);
        Place { index, folded: false }
    }

    /// Would a new key have a series of its own?
    pub fn has_room(&self) -> bool {
        self.by_key.len() < self.max
    }

    /// Adds a leaf's share to a series of the closing window.
    pub fn contribute(&mut self, index: u32, share: &Measures) {
        if let Some(state) = self.series.get_mut(index) {
            state.measures.get_or_insert_default().merge(share);
        }
    }

    /// Pushes every series of the closing window and forgets those that nobody contributed to. Returns how many were pushed.
    pub fn export(&mut self, into: &mut Vec<Series>) -> u64 {
        let before = into.len();
        let Self { level, by_key, series, overflow, .. } = self;
        series.retain(|index, state| {
            let measures = state.measures.take();
            let ended = measures.is_none();
            into.push(Series {
                level: *level,
                attributes: Arc::clone(&state.attributes),
                created: state.created,
                ended,
                measures: measures.unwrap_or_default(),
            });
            if ended && *overflow == Some(index) {
                *overflow = None;
            } else if ended {
                by_key.remove(&state.attributes);
            }
            !ended
        });
        (into.len() - before) as u64
    }
}

/// `max_series` as a count.
pub(super) fn limit(max: u32) -> usize {
    if max == 0 { usize::MAX } else { max as usize }
}

// === impl State ===

impl State {
    fn new(attributes: Attributes, created: UnixNanos) -> Self {
        Self { attributes: Arc::new(attributes), created, measures: None }
    }
}
