//! [`Aggregates`]: the rows of services and of workloads.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use longwave_pipeline::model::{Level, UnixNanos};

use super::flow::Flow;
use super::measures::Split;
use super::names::{RowKey, RowNames};
use super::row::{Row, RowId};

/// Rows that contain connections.
#[derive(Clone, Debug)]
pub(super) struct Aggregates {
    max: usize,
    by_id: BTreeMap<RowId, Aggregate>,
    by_key: HashMap<RowKey, RowId>,
    all: Aggregate,
    /// Rows `(others)` of services and of workloads, for flows without a row of their own.
    others: [RowId; 2],
    pub(super) folded: u64,
}

#[derive(Clone, Debug)]
struct Aggregate {
    level: Level,
    row: Row,
    /// What was added since the last interval ended.
    pending: Split,
}

/// Levels in the order of [`Flow::rows`].
const LEVELS: [Level; 2] = [Level::Service, Level::Workload];

// === impl Aggregates ===

impl Aggregates {
    pub(super) fn new(max: usize, next_id: &mut u64) -> Self {
        let mut new = |level, names| Aggregate::new(level, Row::new(RowId::next(next_id), names));
        let all = new(Level::Service, RowNames::others());
        let others = LEVELS.map(|level| new(level, RowNames::others()));
        let ids = others.each_ref().map(|aggregate| aggregate.row.id);
        let by_id = others.into_iter().map(|aggregate| (aggregate.row.id, aggregate)).collect();
        Self { max, by_id, by_key: HashMap::new(), all, others: ids, folded: 0 }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Adds a flow's measures of this interval to its rows.
    pub(super) fn add(
        &mut self,
        flow: &Flow,
        rows: &mut [Option<RowId>; 2],
        split: &Split,
        next_id: &mut u64,
    ) {
        self.all.take(flow, split);
        self.find(flow, rows, next_id);
        for id in rows.iter().flatten() {
            if let Some(aggregate) = self.by_id.get_mut(id) {
                aggregate.take(flow, split);
            }
        }
    }

    /// Adds all measures of a flow to its rows, as if it had always been in them.
    pub(super) fn restore(&mut self, flow: &Flow, rows: &mut [Option<RowId>; 2], next_id: &mut u64) {
        self.all.restore(flow);
        self.find(flow, rows, next_id);
        for id in rows.iter().flatten() {
            if let Some(aggregate) = self.by_id.get_mut(id) {
                aggregate.restore(flow);
            }
        }
    }

    /// Finds the flow's rows, unless they are known.
    fn find(&mut self, flow: &Flow, rows: &mut [Option<RowId>; 2], next_id: &mut u64) {
        let mut parent = None;
        for (index, level) in LEVELS.into_iter().enumerate() {
            let known = rows[index].filter(|id| self.by_id.contains_key(id));
            let id = known.unwrap_or_else(|| self.intern(flow, level, index, parent, next_id));
            rows[index] = Some(id);
            parent = Some(id);
        }
    }

    fn intern(
        &mut self,
        flow: &Flow,
        level: Level,
        index: usize,
        parent: Option<RowId>,
        next_id: &mut u64,
    ) -> RowId {
        let key = RowKey { level, names: flow.names(level) };
        if let Some(known) = self.by_key.get(&key) {
            return *known;
        }
        if self.by_key.len() >= self.max {
            self.folded += 1;
            return self.others[index];
        }
        let mut row = Row::new(RowId::next(next_id), key.names.clone());
        row.parent = parent;
        let id = row.id;
        self.by_id.insert(id, Aggregate::new(level, row));
        self.by_key.insert(key, id);
        id
    }

    pub(super) fn roll(&mut self, tick: UnixNanos, interval: Duration) {
        for aggregate in self.by_id.values_mut().chain([&mut self.all]) {
            let pending = std::mem::take(&mut aggregate.pending);
            aggregate.row.roll(pending, tick, interval);
            if pending.once.open == 0 {
                aggregate.row.age = None;
            }
        }
    }

    pub(super) fn remove(&mut self, is_over: impl Fn(&Row) -> bool) {
        let others = self.others;
        self.by_id.retain(|id, aggregate| others.contains(id) || !is_over(&aggregate.row));
        let by_id = &self.by_id;
        self.by_key.retain(|_, id| by_id.contains_key(id));
    }

    pub(super) fn all(&self) -> &Row {
        &self.all.row
    }

    pub(super) fn row(&self, id: RowId) -> Option<&Row> {
        self.by_id.get(&id).map(|aggregate| &aggregate.row)
    }

    /// Returns the rows of a level, with the row `(others)` if it is not empty.
    pub(super) fn rows(&self, level: Level) -> impl Iterator<Item = &Row> {
        let has_any = |row: &Row| {
            !self.others.contains(&row.id)
                || row.total.client.has_activity()
                || row.total.server.has_activity()
        };
        let rows = self.by_id.values().filter(move |aggregate| aggregate.level == level);
        rows.map(|aggregate| &aggregate.row).filter(move |row| has_any(row) && !row.history.is_empty())
    }
}

// === impl Aggregate ===

impl Aggregate {
    fn new(level: Level, row: Row) -> Self {
        Self { level, row, pending: Split::default() }
    }

    fn take(&mut self, flow: &Flow, split: &Split) {
        if !self.pending.once.has_activity() && self.pending.once.open == 0 {
            self.row.age = None;
        }
        self.pending.add(split);
        self.describe(flow);
    }

    fn restore(&mut self, flow: &Flow) {
        self.row.last.add(&flow.row.last);
        self.row.total.add(&flow.row.total);
        self.row.history.add(&flow.row.history);
        self.describe(flow);
    }

    fn describe(&mut self, flow: &Flow) {
        if flow.is_open() {
            self.row.age = self.row.age.max(flow.row.age);
        }
        let is_later = |end: &super::row::LastEnd| self.row.last_end.is_none_or(|last| last.at < end.at);
        if let Some(end) = flow.row.last_end.filter(|end| end.is_abnormal() && is_later(end)) {
            self.row.last_end = Some(end);
        }
    }
}
