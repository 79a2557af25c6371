//! [`SeriesPairs`]: the sums that records are added to. A pair is one series of level `service` and one of level `workload`.

use hashbrown::HashMap;
use longwave_pipeline::model::{ConnectionRecord, Level, Measures, Names, Role, Rung, Series, UnixNanos};

use super::config::WindowConfig;
use super::level_table::LevelTable;
use super::new_connection::NewConnection;
use super::record_events::RecordEvents;
use super::series_keys::{Rooms, SeriesSlot};
use super::telemetry::Tally;
use crate::slab::Slab;

/// Used instead of a series' index if its level is not configured.
const NO_SERIES: u32 = u32::MAX;

/// Maximum number of cached entries by names. For other names, pairs are looked up by the names' texts.
const MAX_CACHED_NAMES: usize = 65_536;

/// All pairs, and their series.
pub(super) struct SeriesPairs {
    service: Option<LevelTable>,
    workload: Option<LevelTable>,
    pairs: Slab<SeriesPair>,
    /// Pairs by the indices of their series.
    by_series: HashMap<(u32, u32), u32, foldhash::fast::RandomState>,
    /// Pairs by the names of their connections.
    by_names: HashMap<NamesKey, CachedPair, foldhash::fast::RandomState>,
}

/// Sums of the open window for one pair of series.
struct SeriesPair {
    service: u32,
    workload: u32,
    /// The rungs of the service series and of the workload series, if others are folded into them.
    rungs: [Option<Rung>; 2],
    /// Number of open connections whose records are added to the pair, established or not.
    connections: u32,
    /// Number of established connections among them.
    active: u32,
    /// Number of the window of the last record.
    last_used: u32,
    /// Minimum round trip in nanoseconds; `u64::MAX` if there is none.
    min_rtt: u64,
    measures: Measures,
}

/// The names of a connection, as the addresses of their handles, and its direction. Connections with equal keys have the same pair.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct NamesKey {
    names: [usize; 3],
    local_is_source: bool,
}

struct CachedPair {
    pair: u32,
    /// Number of the window of the last look-up.
    last_used: u32,
    /// Which finer series the names could have, but for which there was no room, at both levels.
    full: [Rooms; 2],
    /// Kept so that no other name can get the handles' addresses.
    _names: Names,
}

// === impl SeriesPairs ===

impl SeriesPairs {
    /// Creates an empty set of pairs.
    pub fn new(config: &WindowConfig) -> Self {
        let table = |level| {
            let attributes = config.attributes(level)?;
            Some(LevelTable::new(level, attributes, config.max_series))
        };
        Self {
            service: table(Level::Service),
            workload: table(Level::Workload),
            pairs: Slab::default(),
            by_series: HashMap::default(),
            by_names: HashMap::default(),
        }
    }

    /// Adds a connection to the pair of its names. Returns the pair's index. `now` is the start of the window.
    pub fn join(&mut self, names: &Names, role: Role, window: u32, now: UnixNanos, tally: &mut Tally) -> u32 {
        let key = NamesKey::of(names, role);
        let index = match self.by_names.get_mut(&key) {
            Some(cached) => {
                cached.last_used = window;
                cached.pair
            }
            None => self.find_or_create(key, names, role, window, now),
        };
        if let Some(pair) = self.pairs.get_mut(index) {
            pair.connections += 1;
            // This prevents the pair's removal before its first record.
            pair.last_used = window;
            tally.count_folded(Level::Service, pair.rungs[0]);
            tally.count_folded(Level::Workload, pair.rungs[1]);
        }
        index
    }

    /// Removes a connection that closed or that moves to another pair.
    pub fn leave(&mut self, index: u32, active: bool) {
        if let Some(pair) = self.pairs.get_mut(index) {
            pair.connections -= 1;
            pair.active -= u32::from(active);
        }
    }

    /// Counts a connection as established.
    pub fn activate(&mut self, index: u32) {
        if let Some(pair) = self.pairs.get_mut(index) {
            pair.active += 1;
        }
    }

    /// Adds one record.
    #[inline]
    pub fn add(&mut self, index: u32, record: &ConnectionRecord, events: &RecordEvents, window: u32) {
        let Some(pair) = self.pairs.get_mut(index) else { return };
        pair.last_used = window;
        pair.measures.add_deltas(record);
        pair.min_rtt = pair.min_rtt.min(record.round_trip.minimum.map_or(u64::MAX, |nanos| nanos.get()));
        events.count_in(&mut pair.measures);
    }

    /// Adds the sums of a connection that was opened in this window.
    pub fn add_new(&mut self, index: u32, new: &NewConnection, window: u32) {
        let Some(pair) = self.pairs.get_mut(index) else { return };
        pair.last_used = window;
        new.add_sums_to(&mut pair.measures);
        pair.min_rtt = pair.min_rtt.min(new.min_rtt);
        new.events().count_in(&mut pair.measures);
    }

    /// Adds events without a record. Used for a connection that expires.
    pub fn add_events(&mut self, index: u32, events: &RecordEvents, window: u32) {
        if let Some(pair) = self.pairs.get_mut(index) {
            pair.last_used = window;
            events.count_in(&mut pair.measures);
        }
    }

    /// Returns the number of pairs and of series.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        let tables = [&self.service, &self.workload];
        self.pairs.len() + tables.into_iter().flatten().map(LevelTable::len).sum::<usize>()
    }

    /// Sums the pairs up to series, appends the series to `into` and starts the next window. Returns the number of series by level.
    pub fn close(&mut self, window: u32, into: &mut Vec<Series>) -> [u64; 2] {
        let Self { service, workload, pairs, by_series, by_names, .. } = self;
        pairs.retain(|_, pair| {
            if pair.connections == 0 && pair.last_used != window {
                by_series.remove(&(pair.service, pair.workload));
                return false;
            }
            pair.measures.active = pair.active.into();
            pair.measures.min_rtt = (pair.min_rtt != u64::MAX).then_some(pair.min_rtt as f64 / 1e9);
            for (table, index) in [(&mut *service, pair.service), (&mut *workload, pair.workload)] {
                if let Some(table) = table {
                    table.contribute(index, &pair.measures);
                }
            }
            pair.clear();
            true
        });
        let counts = [service, workload].map(|table| table.as_mut().map_or(0, |table| table.export(into)));
        let rooms = [&self.service, &self.workload]
            .map(|table| table.as_ref().map(LevelTable::rooms).unwrap_or_default());
        // Names stay cached if a new connection had them in this window, unless there is room for a finer series now.
        by_names.retain(|_, cached| {
            cached.last_used == window
                && pairs.get(cached.pair).is_some()
                && !cached.full.iter().zip(rooms).any(|(full, rooms)| full.intersects(rooms))
        });
        counts
    }

    /// Returns the pair of names that are not cached, and caches them.
    fn find_or_create(
        &mut self,
        key: NamesKey,
        names: &Names,
        role: Role,
        window: u32,
        now: UnixNanos,
    ) -> u32 {
        let slot = |table: &mut Option<LevelTable>| match table {
            Some(table) => table.find_or_create(role, names, now),
            None => SeriesSlot { index: NO_SERIES, rung: None, full: Rooms::default() },
        };
        let service = slot(&mut self.service);
        let workload = slot(&mut self.workload);
        let pairs = &mut self.pairs;
        let pair = *self
            .by_series
            .entry((service.index, workload.index))
            .or_insert_with(|| pairs.insert(SeriesPair::new(service, workload, window)));
        if self.by_names.len() < MAX_CACHED_NAMES {
            let full = [service.full, workload.full];
            let cached = CachedPair { pair, last_used: window, full, _names: names.clone() };
            self.by_names.insert(key, cached);
        }
        pair
    }
}

// === impl SeriesPair ===

impl SeriesPair {
    fn new(service: SeriesSlot, workload: SeriesSlot, window: u32) -> Self {
        Self {
            service: service.index,
            workload: workload.index,
            rungs: [service.rung, workload.rung],
            connections: 0,
            active: 0,
            last_used: window,
            min_rtt: u64::MAX,
            measures: Measures::default(),
        }
    }

    /// Starts the next window. Keeps the histograms' memory.
    fn clear(&mut self) {
        self.min_rtt = u64::MAX;
        clear(&mut self.measures);
    }
}

/// Sets all measures to zero. Keeps their memory.
fn clear(measures: &mut Measures) {
    let Measures {
        totals,
        limits,
        connected,
        opened,
        closed,
        failed,
        active,
        rtt,
        connect_duration,
        connection_duration,
        min_rtt,
    } = measures;
    *totals = Default::default();
    *limits = Default::default();
    *connected = Default::default();
    *opened = 0;
    *closed = Default::default();
    failed.clear();
    *active = 0;
    rtt.clear();
    connect_duration.clear();
    connection_duration.clear();
    *min_rtt = None;
}

// === impl NamesKey ===

impl NamesKey {
    fn of(names: &Names, role: Role) -> Self {
        let Names { local, peer, service } = names;
        let names = [
            local.as_ref().map_or(0, |handle| handle.address()),
            peer.as_ref().map_or(0, |handle| handle.address()),
            service.as_ref().map_or(0, |handle| handle.address()),
        ];
        Self { names, local_is_source: role.local_is_source() }
    }
}
