//! Leaves: what records are added to. A leaf is one pair of a service series and a workload series.

use hashbrown::HashMap;
use longwave_pipeline::model::{
    Attributes, ConnectionRecord, Detail, Level, Measures, Names, Series, UnixNanos,
};

use super::connections::Step;
use super::level_table::{LevelTable, Place};
use super::telemetry::Tally;
use crate::slab::Slab;

/// In place of a series' index where the level is off.
const OFF: u32 = u32::MAX;

/// Shapes remembered at a time; beyond, names are looked up by their text.
const MAX_SHAPES: usize = 65_536;

/// All leaves, and the series that they add up to.
pub(super) struct Leaves {
    detail: Detail,
    service: Option<LevelTable>,
    workload: Option<LevelTable>,
    leaves: Slab<Leaf>,
    by_pair: HashMap<(u32, u32), u32, foldhash::fast::RandomState>,
    shapes: HashMap<ShapeKey, Shape, foldhash::fast::RandomState>,
}

/// Sums of the open window for one pair of series.
struct Leaf {
    service: u32,
    workload: u32,
    /// Levels at which it adds to the overflow series.
    folded: [bool; 2],
    /// Connections that add to it, established or not.
    connections: u32,
    /// Those of them that are open.
    active: u32,
    /// The window of the last record.
    touched: u32,
    /// Least round trip in nanoseconds; `u64::MAX`: none.
    rtt_min: u64,
    measures: Measures,
}

/// Names and direction, by the handles' addresses: what makes two connections go to one leaf.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct ShapeKey {
    names: [usize; 3],
    local_is_source: bool,
}

struct Shape {
    leaf: u32,
    /// The window in which it was last looked up.
    used: u32,
    /// Holds the handles, so that no other name can get their addresses.
    _names: Names,
}

// === impl Leaves ===

impl Leaves {
    /// No leaves; series for the levels that are on, told apart as `detail` asks, at most `max_series` each (0: no limit).
    pub fn new(service: bool, workload: bool, detail: Detail, max_series: u32) -> Self {
        Self {
            detail,
            service: service.then(|| LevelTable::new(Level::Service, max_series)),
            workload: workload.then(|| LevelTable::new(Level::Workload, max_series)),
            leaves: Slab::default(),
            by_pair: HashMap::default(),
            shapes: HashMap::default(),
        }
    }

    /// The leaf for a connection that has these names now; the connection is counted in.
    pub fn join(&mut self, record: &ConnectionRecord, window: u32, now: UnixNanos, tally: &mut Tally) -> u32 {
        let key = ShapeKey::of(record);
        let index = match self.shapes.get_mut(&key) {
            Some(shape) => {
                shape.used = window;
                shape.leaf
            }
            None => self.learn(key, record, window, now),
        };
        if let Some(leaf) = self.leaves.get_mut(index) {
            leaf.connections += 1;
            // A leaf that nobody uses any more would be cleared away before its first record.
            leaf.touched = window;
            tally.overflowed[Level::Service as usize] += u64::from(leaf.folded[0]);
            tally.overflowed[Level::Workload as usize] += u64::from(leaf.folded[1]);
        }
        index
    }

    /// A connection ended, or moved to another leaf.
    pub fn leave(&mut self, index: u32, active: bool) {
        if let Some(leaf) = self.leaves.get_mut(index) {
            leaf.connections -= 1;
            leaf.active -= u32::from(active);
        }
    }

    /// An open connection arrived: established, or moved here.
    pub fn activate(&mut self, index: u32) {
        if let Some(leaf) = self.leaves.get_mut(index) {
            leaf.active += 1;
        }
    }

    /// Adds one record.
    #[inline]
    pub fn add(&mut self, index: u32, record: &ConnectionRecord, step: &Step, window: u32) {
        let Some(leaf) = self.leaves.get_mut(index) else { return };
        leaf.touched = window;
        leaf.measures.totals.add(&record.delta);
        leaf.rtt_min = leaf.rtt_min.min(record.round_trip.minimum.map_or(u64::MAX, |nanos| nanos.get()));
        step.count_in(&mut leaf.measures);
    }

    /// Adds what a step tells without a record (an expired connection).
    pub fn add_step(&mut self, index: u32, step: &Step, window: u32) {
        if let Some(leaf) = self.leaves.get_mut(index) {
            leaf.touched = window;
            step.count_in(&mut leaf.measures);
        }
    }

    /// Adds the leaves up into series, pushes the series and starts the next window. Returns the series pushed, by level.
    pub fn close(&mut self, window: u32, into: &mut Vec<Series>) -> [u64; 2] {
        let Self { service, workload, leaves, by_pair, shapes, .. } = self;
        leaves.retain(|_, leaf| {
            if leaf.connections == 0 && leaf.touched != window {
                by_pair.remove(&(leaf.service, leaf.workload));
                return false;
            }
            leaf.measures.active = leaf.active.into();
            leaf.measures.rtt_min = (leaf.rtt_min != u64::MAX).then_some(leaf.rtt_min as f64 / 1e9);
            for (table, index) in [(&mut *service, leaf.service), (&mut *workload, leaf.workload)] {
                if let Some(table) = table {
                    table.contribute(index, &leaf.measures);
                }
            }
            leaf.clear();
            true
        });
        let counts = [service, workload].map(|table| table.as_mut().map_or(0, |table| table.export(into)));
        let room =
            [&self.service, &self.workload].map(|table| table.as_ref().is_some_and(LevelTable::has_room));
        // A shape is kept as long as connections of it come, and while it has the series that it should have.
        shapes.retain(|_, shape| {
            shape.used == window
                && leaves
                    .get(shape.leaf)
                    .is_some_and(|leaf| (0..2).all(|level| !(leaf.folded[level] && room[level])))
        });
        counts
    }

    fn learn(&mut self, key: ShapeKey, record: &ConnectionRecord, window: u32, now: UnixNanos) -> u32 {
        let detail = self.detail;
        let place = |table: &mut Option<LevelTable>, level| match table {
            Some(table) => table.place(Attributes::detailed(level, record, detail), now),
            None => Place { index: OFF, folded: false },
        };
        let service = place(&mut self.service, Level::Service);
        let workload = place(&mut self.workload, Level::Workload);
        let leaves = &mut self.leaves;
        let leaf = *self
            .by_pair
            .entry((service.index, workload.index))
            .or_insert_with(|| leaves.insert(Leaf::new(service, workload, window)));
        if self.shapes.len() < MAX_SHAPES {
            self.shapes.insert(key, Shape { leaf, used: window, _names: record.names.clone() });
        }
        leaf
    }
}

// === impl Leaf ===

impl Leaf {
    fn new(service: Place, workload: Place, window: u32) -> Self {
        Self {
            service: service.index,
            workload: workload.index,
            folded: [service.folded, workload.folded],
            connections: 0,
            active: 0,
            touched: window,
            rtt_min: u64::MAX,
            measures: Measures::default(),
        }
    }

    /// Forgets the window, keeps the histograms' memory.
    fn clear(&mut self) {
        self.rtt_min = u64::MAX;
        clear(&mut self.measures);
    }
}

/// Back to nothing measured, without giving back memory.
fn clear(measures: &mut Measures) {
    let Measures {
        totals,
        opened,
        closed,
        failed,
        active,
        rtt,
        connect_duration,
        connection_duration,
        rtt_min,
    } = measures;
    *totals = Default::default();
    *opened = 0;
    *closed = Default::default();
    failed.clear();
    *active = 0;
    rtt.clear();
    connect_duration.clear();
    connection_duration.clear();
    *rtt_min = None;
}

// === impl ShapeKey ===

impl ShapeKey {
    fn of(record: &ConnectionRecord) -> Self {
        let Names { local, peer, service } = &record.names;
        let names = [
            local.as_ref().map_or(0, |handle| handle.address()),
            peer.as_ref().map_or(0, |handle| handle.address()),
            service.as_ref().map_or(0, |handle| handle.address()),
        ];
        Self { names, local_is_source: record.role.local_is_source() }
    }
}
