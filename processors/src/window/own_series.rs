//! The level `connection`: one series per connection that reached `min_age`.

use std::sync::Arc;

use longwave_pipeline::model::{
    Attributes, ConnectionRecord, Level, Measures, Series, Totals, UnixNanos, seconds,
};

use super::config::WindowConfig;
use super::connections::Step;
use super::level_table::limit;
use super::telemetry::Tally;
use crate::slab::Slab;

/// In place of an index: the level is off, or the connection has nothing here.
pub(super) const NO_SERIES: u32 = u32::MAX;
/// In place of an index: the overflow series.
const OVERFLOW: u32 = u32::MAX - 1;

/// Series of single connections, and what those keep that are too young for one.
pub(super) struct OwnSeries {
    min_age: u64,
    max: usize,
    slots: Slab<Own>,
    /// Slots with a series.
    series: usize,
    overflow: Option<Overflow>,
}

/// What a connection has at this level. Only established connections have a series.
enum Own {
    /// Too young: what it will bring along.
    Young(Young),
    /// A series.
    Series(Box<State>),
}

/// What came before `min_age`. Samples grow by 8 bytes per window with acknowledged bytes, so by `min_age` ÷ `interval` at most.
#[derive(Default)]
struct Young {
    totals: Totals,
    opened: u64,
    connect: Option<f64>,
    rtt_seconds: Vec<f64>,
}

struct State {
    attributes: Arc<Attributes>,
    created: UnixNanos,
    /// The connection ended (or has another series now): this is the series' last window.
    ended: bool,
    measures: Measures,
}

struct Overflow {
    state: State,
    /// Open connections in it.
    connections: u64,
    /// The window of the last record.
    touched: u32,
}

// === impl OwnSeries ===

impl OwnSeries {
    /// No series yet.
    pub fn new(config: &WindowConfig) -> Self {
        Self {
            min_age: u64::try_from(config.min_age.as_nanos()).unwrap_or(u64::MAX),
            max: limit(config.max_series),
            slots: Slab::default(),
            series: 0,
            overflow: None,
        }
    }

    /// A connection that was not known.
    pub fn join(&mut self) -> u32 {
        self.slots.insert(Own::Young(Young::default()))
    }

    /// Adds one record. Returns where the connection is from now on.
    #[allow(
        clippy::too_many_arguments,
        reason = "the caller's state, field by field: one caller, on the hot path"
    )]
    pub fn add(
        &mut self,
        index: u32,
        record: &ConnectionRecord,
        step: &Step,
        established: bool,
        window: u32,
        now: UnixNanos,
        tally: &mut Tally,
    ) -> u32 {
        let old_enough = established && self.is_old_enough(record);
        if let Some(Own::Young(young)) = self.slots.get_mut(index) {
            if !old_enough {
                young.add(record, step);
                return index;
            }
            let young = std::mem::take(young);
            self.slots.remove(index);
            let index = self.create(record, young.into_measures(), now, tally);
            self.add_to(index, record, step, window);
            return index;
        }
        self.add_to(index, record, step, window);
        index
    }

    /// Adds what a step tells without a record.
    pub fn add_step(&mut self, index: u32, step: &Step, window: u32) {
        match (self.slots.get_mut(index), &mut self.overflow) {
            (Some(Own::Series(state)), _) => step.count_in(&mut state.measures),
            (None, Some(overflow)) if index == OVERFLOW => {
                overflow.touched = window;
                step.count_in(&mut overflow.state.measures);
            }
            _ => {}
        }
    }

    /// Other names: the series under the old ones ends, another begins. Returns the connection's new place.
    pub fn rename(
        &mut self,
        index: u32,
        record: &ConnectionRecord,
        now: UnixNanos,
        tally: &mut Tally,
    ) -> u32 {
        if !matches!(self.slots.get(index), Some(Own::Series(_))) {
            return index;
        }
        self.leave(index);
        self.create(record, Measures::default(), now, tally)
    }

    /// The connection ended.
    pub fn leave(&mut self, index: u32) {
        match self.slots.get_mut(index) {
            Some(Own::Young(_)) => {
                self.slots.remove(index);
            }
            Some(Own::Series(state)) => state.ended = true,
            None => {
                if let Some(overflow) = self.overflow.as_mut().filter(|_| index == OVERFLOW) {
                    overflow.connections -= 1;
                }
            }
        }
    }

    /// Pushes every series and starts the next window. Returns how many were pushed.
    pub fn close(&mut self, window: u32, into: &mut Vec<Series>) -> u64 {
        let before = into.len();
        let Self { slots, series, overflow, .. } = self;
        slots.retain(|_, own| {
            let Own::Series(state) = own else { return true };
            let ended = state.ended;
            into.push(state.export(u64::from(!ended), ended));
            *series -= usize::from(ended);
            !ended
        });
        if let Some(held) = overflow {
            let ended = held.connections == 0 && held.touched != window;
            into.push(held.state.export(held.connections, ended));
            if ended {
                *overflow = None;
            }
        }
        (into.len() - before) as u64
    }

    fn is_old_enough(&self, record: &ConnectionRecord) -> bool {
        !record.start_known || record.observed.0.saturating_sub(record.opened.0) >= self.min_age
    }

    fn create(
        &mut self,
        record: &ConnectionRecord,
        measures: Measures,
        now: UnixNanos,
        tally: &mut Tally,
    ) -> u32 {
        if self.series < self.max {
            self.series += 1;
            let attributes = Arc::new(Attributes::of_record(Level::Connection, record));
            let state = State { attributes, created: now, ended: false, measures };
            return self.slots.insert(Own::Series(Box::new(state)));
        }
        tally.overflowed[Level::Connection as usize] += 1;
        let overflow = self.overflow.get_or_insert_with(|| Overflow::new(now));
        overflow.state.measures.merge(&measures);
        overflow.connections += 1;
        OVERFLOW
    }

    fn add_to(&mut self, index: u32, record: &ConnectionRecord, step: &Step, window: u32) {
        match (self.slots.get_mut(index), &mut self.overflow) {
            (Some(Own::Series(state)), _) => state.add(record, step),
            (None, Some(overflow)) if index == OVERFLOW => {
                overflow.touched = window;
                overflow.state.add(record, step);
            }
            _ => {}
        }
    }
}

// === impl Young ===

impl Young {
    fn add(&mut self, record: &ConnectionRecord, step: &Step) {
        self.totals.add(&record.delta);
        self.opened += u64::from(step.opened);
        if let Some(connect) = step.connect {
            self.connect = Some(seconds(connect));
        }
        self.rtt_seconds.extend(step.rtt.map(seconds));
    }

    fn into_measures(self) -> Measures {
        let mut measures = Measures { totals: self.totals, opened: self.opened, ..Measures::default() };
        if let Some(connect) = self.connect {
            measures.connect_duration.record(connect);
        }
        for rtt in self.rtt_seconds {
            measures.rtt.record(rtt);
        }
        measures
    }
}

// === impl State ===

impl State {
    fn add(&mut self, record: &ConnectionRecord, step: &Step) {
        self.measures.totals.add(&record.delta);
        self.measures.offer_rtt_min(record.round_trip.minimum.map(seconds));
        step.count_in(&mut self.measures);
    }

    fn export(&mut self, active: u64, ended: bool) -> Series {
        let mut measures = std::mem::take(&mut self.measures);
        measures.active = active;
        Series {
            level: Level::Connection,
            attributes: Arc::clone(&self.attributes),
            created: self.created,
            ended,
            measures,
        }
    }
}

// === impl Overflow ===

impl Overflow {
    fn new(now: UnixNanos) -> Self {
        let state = State {
            attributes: Arc::new(Attributes::overflow()),
            created: now,
            ended: false,
            measures: Measures::default(),
        };
        Self { state, connections: 0, touched: 0 }
    }
}
