//! Turns records into rows. It draws nothing and reads no clock: its time is that of the records.
//!
//! An interval ends with [`Model::pass_end`]. Then the measures of each connection are added to the rows of its workloads and of its service.
//! A connection for which there is no room is added to the row `(others)`. So the sum of the rows of a level is always that of all records.

mod aggregates;
mod diagnosis;
mod flow;
mod flows;
mod history;
mod measures;
mod names;
mod row;

#[cfg(test)]
mod tests;

use std::time::Duration;

use longwave_pipeline::model::{ConnectionRecord, Level, PassEnd, UnixNanos};
use longwave_processors::filter::Expression;

pub use diagnosis::{explain, share_of_time};
pub use flow::{Flow, FlowEnd, Side};
pub use history::{HISTORY, History, Point};
pub use measures::{Measures, Split};
pub use names::RowNames;
pub use row::{Age, LastEnd, Row, RowId};

use aggregates::Aggregates;
use flows::{Flows, Taken};

/// Time for which a row stays after it has ended.
pub const ENDED_ROWS_STAY: Duration = Duration::from_secs(30);
/// Maximum number of connections that have a row of their own, ended ones included. Each takes about 3 kB.
pub const MAX_CONNECTIONS: usize = 20_000;
/// Maximum number of rows of services and of workloads.
pub const MAX_ROWS: usize = 5_000;
/// Interval that is assumed before two passes were seen.
const FIRST_INTERVAL: Duration = Duration::from_secs(5);

/// What was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Sockets that the last interval added to the row `(others)`, because there was no room.
    pub folded: u64,
    /// Ended connections that were removed early, to make room, since the model began.
    pub evicted: u64,
    /// Times that a flow was added to the row `(others)` of services or workloads, since the model began.
    pub rows: u64,
}

/// All connections, and the rows that contain them.
#[derive(Clone, Debug)]
pub struct Model {
    flows: Flows,
    aggregates: Aggregates,
    filter: Option<Expression>,
    /// End of the last interval.
    tick: Option<UnixNanos>,
    /// Start of the first interval.
    since: Option<UnixNanos>,
    interval: Duration,
    next_id: u64,
}

// === impl Model ===

impl Default for Model {
    fn default() -> Self {
        Self::new(MAX_CONNECTIONS, MAX_ROWS)
    }
}

impl Model {
    /// Creates a model with room for `connections`, and for `rows` of services and workloads.
    pub fn new(connections: usize, rows: usize) -> Self {
        let mut next_id = 0;
        let aggregates = Aggregates::new(rows, &mut next_id);
        let flows = Flows::new(connections, &mut next_id);
        Self { flows, aggregates, filter: None, tick: None, since: None, interval: FIRST_INTERVAL, next_id }
    }

    /// Removes everything but the filter, because the records that follow are of another recording, or of another time.
    pub fn restart(&mut self) {
        let (connections, rows) = (self.flows.max(), self.aggregates.max());
        *self = Self { filter: self.filter.take(), ..Self::new(connections, rows) };
    }

    /// Adds records of the current interval.
    pub fn records(&mut self, records: &[ConnectionRecord]) {
        for record in records {
            let is_selected = self.filter.as_ref().is_none_or(|filter| filter.matches(record));
            match self.flows.take(record, is_selected, &mut self.next_id) {
                Taken::Kept => {}
                Taken::Evicting(evicted) => self.fold(&evicted, 0),
                // A socket has a record in each interval. One that ends may have had another one before.
                Taken::NoRoom(flow) => self.fold(&flow, u64::from(record.end.is_none())),
            }
        }
    }

    /// Adds the measures of a flow without a row to the row `(others)` and to its rows of other levels. Counts `sockets`.
    fn fold(&mut self, flow: &Flow, sockets: u64) {
        if self.is_selected(flow) {
            let (split, mut rows) = (flow.pending(), flow.rows);
            self.flows.fold(&split, sockets);
            self.aggregates.add(flow, &mut rows, &split, &mut self.next_id);
        }
    }

    /// Ends an interval, and updates the rows with its measures.
    pub fn pass_end(&mut self, pass_end: PassEnd) {
        let tick = pass_end.tick;
        if let Some(former) = self.tick {
            if tick <= former {
                return;
            }
            self.interval = tick.since(former);
        }
        self.since.get_or_insert(UnixNanos(tick.0.saturating_sub(self.interval.as_nanos() as u64)));
        self.tick = Some(tick);
        let (filter, interval) = (self.filter.clone(), self.interval);
        let mut excluded = Vec::new();
        for flow in self.flows.iter_mut() {
            let split = flow.roll(tick, interval);
            flow.row.is_hidden = !is_selected(filter.as_ref(), flow);
            if !flow.row.is_hidden {
                let mut rows = flow.rows;
                self.aggregates.add(flow, &mut rows, &split, &mut self.next_id);
                flow.rows = rows;
                flow.row.parent = rows[1];
            } else {
                excluded.push(flow.row.id);
            }
        }
        self.flows.make_room(excluded);
        self.flows.roll(tick, interval);
        self.aggregates.roll(tick, interval);
        let is_over = |row: &Row| row.ended.is_some_and(|ended| tick.since(ended) > ENDED_ROWS_STAY);
        self.flows.remove(is_over);
        self.aggregates.remove(is_over);
    }

    /// Shows only connections whose last record meets the condition. The rows of services and workloads are computed again from the
    /// connections that have a row.
    pub fn set_filter(&mut self, filter: Option<Expression>) {
        self.filter = filter;
        self.aggregates = Aggregates::new(self.aggregates.max(), &mut self.next_id);
        let filter = self.filter.clone();
        for flow in self.flows.iter_mut() {
            flow.row.is_hidden = !is_selected(filter.as_ref(), flow);
            flow.rows = [None; 2];
            if !flow.row.is_hidden {
                let mut rows = flow.rows;
                self.aggregates.restore(flow, &mut rows, &mut self.next_id);
                flow.rows = rows;
                flow.row.parent = rows[1];
            }
        }
    }

    fn is_selected(&self, flow: &Flow) -> bool {
        is_selected(self.filter.as_ref(), flow)
    }

    /// Returns the filter.
    pub fn filter(&self) -> Option<&Expression> {
        self.filter.as_ref()
    }

    /// Returns the end of the last interval. `None` before the first one.
    pub fn tick(&self) -> Option<UnixNanos> {
        self.tick
    }

    /// Returns the time from which totals count.
    pub fn since(&self) -> Option<UnixNanos> {
        self.since
    }

    /// Returns the length of the last interval.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Returns the sum of all connections that the filter selects.
    pub fn all(&self) -> &Row {
        self.aggregates.all()
    }

    /// Returns the rows of a level that the filter selects, by their ids.
    pub fn rows(&self, level: Level) -> Box<dyn Iterator<Item = &Row> + '_> {
        match level {
            Level::Connection => Box::new(self.flows.rows().filter(|row| !row.is_hidden)),
            level => Box::new(self.aggregates.rows(level)),
        }
    }

    /// Returns a row of any level.
    pub fn row(&self, id: RowId) -> Option<&Row> {
        self.aggregates.row(id).or_else(|| self.flows.row(id))
    }

    /// Returns the connection whose row has this id.
    pub fn flow(&self, id: RowId) -> Option<&Flow> {
        self.flows.get(id)
    }

    /// Returns the number of connections that have a row, ended ones included.
    pub fn connections(&self) -> usize {
        self.flows.len()
    }

    /// Returns what was left out.
    pub fn left_out(&self) -> LeftOut {
        LeftOut { folded: self.flows.folded(), evicted: self.flows.evicted, rows: self.aggregates.folded }
    }
}

fn is_selected(filter: Option<&Expression>, flow: &Flow) -> bool {
    filter.is_none_or(|filter| flow.any_record(|record| filter.matches(record)))
}
