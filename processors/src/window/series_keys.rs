//! [`SeriesKeys`]: the keys of a level's series, and room for them. Decides which series a key without room is folded into.

use std::sync::Arc;

use hashbrown::HashMap;
use longwave_pipeline::model::{Rung, SeriesKey};

/// Maximum number of series of one rung. `docs/DATA.md` has the resulting maximum of a level.
const MAX_FOLDED: usize = 256;
/// The part of `max_series` for which a rung has room in addition.
const FOLDED_PART: usize = 8;

/// Keys of the series of one level, with the indices at which the caller stores the series.
pub(super) struct SeriesKeys {
    /// Maximum number of series, without those into which others are folded; `usize::MAX`: no limit.
    max: usize,
    /// Maximum number of series of each rung except the overflow series, which is one.
    max_folded: usize,
    /// Number of series, without those into which others are folded.
    own: usize,
    /// Number of series into which others are folded, by rung.
    folded: [usize; Rung::ALL.len()],
    by_key: HashMap<Arc<SeriesKey>, u32, foldhash::fast::RandomState>,
}

/// Index of the series that a key's measures are added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeriesSlot {
    pub index: u32,
    /// The rung of the series; `None` if it is the key's own.
    pub rung: Option<Rung>,
    /// Which finer series would have been possible, but had no room.
    pub full: Rooms,
}

/// Set of rungs, and of the room for a key's own series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rooms(u8);

// === impl SeriesKeys ===

impl SeriesKeys {
    /// Creates an empty set. `max_series` is the setting; 0 means no limit.
    pub fn new(max_series: u32) -> Self {
        let max = if max_series == 0 { usize::MAX } else { max_series as usize };
        Self {
            max,
            max_folded: max.div_ceil(FOLDED_PART).min(MAX_FOLDED),
            own: 0,
            folded: [0; Rung::ALL.len()],
            by_key: HashMap::default(),
        }
    }

    /// Returns the series of `key`, or the one that it is folded into. `create` stores a new series and returns its index.
    pub fn find_or_create(
        &mut self,
        key: SeriesKey,
        create: impl FnOnce(Arc<SeriesKey>) -> u32,
    ) -> SeriesSlot {
        if let Some(index) = self.by_key.get(&key) {
            return SeriesSlot { index: *index, rung: None, full: Rooms::default() };
        }
        if !self.has_room(None) {
            return self.fold(&key, create);
        }
        let index = self.insert(key, create);
        SeriesSlot { index, rung: None, full: Rooms::default() }
    }

    /// Returns the finest series into which `key` can be folded.
    pub fn fold(&mut self, key: &SeriesKey, create: impl FnOnce(Arc<SeriesKey>) -> u32) -> SeriesSlot {
        let mut full = Rooms::default().with(None);
        for rung in [Rung::Pod, Rung::Owner, Rung::Namespace] {
            let Some(folded) = key.folded(rung) else { continue };
            if let Some(index) = self.by_key.get(&folded) {
                return SeriesSlot { index: *index, rung: Some(rung), full };
            }
            if self.has_room(Some(rung)) {
                let index = self.insert(folded, create);
                return SeriesSlot { index, rung: Some(rung), full };
            }
            full = full.with(Some(rung));
        }
        let known = self.by_key.get(&SeriesKey::Overflow).copied();
        let index = known.unwrap_or_else(|| self.insert(SeriesKey::Overflow, create));
        SeriesSlot { index, rung: Some(Rung::Overflow), full }
    }

    /// Counts a series that no other key can have, so that it is not looked up. Returns false if there is no room.
    pub fn add_unique(&mut self) -> bool {
        let has_room = self.has_room(None);
        self.own += usize::from(has_room);
        has_room
    }

    /// Removes a series that [`SeriesKeys::add_unique`] has counted.
    pub fn remove_unique(&mut self) {
        self.own -= 1;
    }

    /// Removes the key of a series that has ended.
    pub fn remove(&mut self, key: &SeriesKey) {
        if self.by_key.remove(key).is_some() {
            *self.count(key.rung()) -= 1;
        }
    }

    /// Returns where there is room now.
    pub fn rooms(&self) -> Rooms {
        let rungs = Rung::ALL.map(Some).into_iter().chain([None]);
        rungs.filter(|rung| self.has_room(*rung)).fold(Rooms::default(), Rooms::with)
    }

    fn has_room(&self, rung: Option<Rung>) -> bool {
        match rung {
            None => self.own < self.max,
            Some(Rung::Overflow) => true,
            Some(rung) => self.folded[rung as usize] < self.max_folded,
        }
    }

    fn insert(&mut self, key: SeriesKey, create: impl FnOnce(Arc<SeriesKey>) -> u32) -> u32 {
        *self.count(key.rung()) += 1;
        let key = Arc::new(key);
        let index = create(Arc::clone(&key));
        self.by_key.insert(key, index);
        index
    }

    fn count(&mut self, rung: Option<Rung>) -> &mut usize {
        match rung {
            None => &mut self.own,
            Some(rung) => &mut self.folded[rung as usize],
        }
    }
}

// === impl Rooms ===

impl Rooms {
    /// Returns whether both sets have an element in common.
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn with(self, rung: Option<Rung>) -> Self {
        Self(self.0 | 1 << rung.map_or(Rung::ALL.len(), |rung| rung as usize))
    }
}
