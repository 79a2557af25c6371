//! [`Flows`]: all connections that have a row.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use longwave_pipeline::model::{ConnectionId, ConnectionRecord, Event, Role, UnixNanos};

use super::flow::{Flow, FlowEnd, FlowKey, Side};
use super::measures::{Measures, Split};
use super::names::RowNames;
use super::row::{Row, RowId};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The connections by row, by id and by addresses.
#[derive(Clone, Debug)]
pub(super) struct Flows {
    max: usize,
    by_row: BTreeMap<RowId, Box<Flow>>,
    by_connection: Map<ConnectionId, RowId>,
    by_key: Map<FlowKey, RowId>,
    /// Flows in the order in which they ended. Some may have an open socket again.
    ended: VecDeque<RowId>,
    /// Flows that the filter excluded when the last interval ended. They make room for others.
    excluded: Vec<RowId>,
    /// Flows that were idle in the last interval. They make room for connections that are not.
    idle: Vec<RowId>,
    /// The row `(others)`, and what connections without a row reported in this interval.
    others: (Row, Split),
    /// Number of sockets without a row: in the current interval, and in the last one.
    folded: (u64, u64),
    pub(super) evicted: u64,
}

/// Result of [`Flows::take`].
#[derive(Debug)]
pub(super) enum Taken {
    /// The record was added to its flow.
    Kept,
    /// The record was added to a new flow, and this one was removed to make room.
    Evicting(Box<Flow>),
    /// There was no room. The flow contains only this record.
    NoRoom(Box<Flow>),
}

// === impl Flows ===

impl Flows {
    pub(super) fn new(max: usize, next_id: &mut u64) -> Self {
        Self {
            max,
            by_row: BTreeMap::new(),
            by_connection: Map::default(),
            by_key: Map::default(),
            ended: VecDeque::new(),
            excluded: Vec::new(),
            idle: Vec::new(),
            others: (Row::new(RowId::next(next_id), RowNames::others()), Split::default()),
            folded: (0, 0),
            evicted: 0,
        }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Adds a record to its flow. If there is no room, a new connection replaces another one only if the filter selects it.
    pub(super) fn take(&mut self, record: &ConnectionRecord, is_selected: bool, next_id: &mut u64) -> Taken {
        if let Some(row) = self.by_connection.get(&record.id).copied() {
            self.add(row, record, false);
            return Taken::Kept;
        }
        let opened = record.start_known
            && record.event != Event::Fail
            && (record.first || record.event == Event::Open);
        if let Some((row, _)) = self.partner(record) {
            self.by_connection.insert(record.id, row);
            self.add(row, record, opened);
            return Taken::Kept;
        }
        let is_busy = record.delta.traffic_bytes() > 0 || record.event != Event::Update;
        let is_full = self.by_row.len() >= self.max;
        let evicted = if is_full && is_selected { self.evict(is_busy) } else { None };
        let side = Side::of_record(record);
        let id = RowId::next(next_id);
        let mut flow = Box::new(Flow {
            row: Row::new(id, RowNames::others()),
            client: None,
            server: None,
            rows: [None; 2],
            first_seen: record.observed,
        });
        if self.by_row.len() >= self.max {
            flow.add(record, side, opened);
            return Taken::NoRoom(flow);
        }
        self.by_row.insert(id, flow);
        self.by_connection.insert(record.id, id);
        if let Some(key) = FlowKey::of_record(record, side) {
            self.by_key.insert(key, id);
        }
        self.add(id, record, opened);
        evicted.map_or(Taken::Kept, Taken::Evicting)
    }

    /// Returns the flow that the peer's socket reported, and the side of the record in it.
    fn partner(&mut self, record: &ConnectionRecord) -> Option<(RowId, Side)> {
        let side = Side::of_record(record);
        let key = FlowKey::of_record(record, side)?;
        let is_free = |flow: &Flow, side: Side| flow.end(side).is_none() && flow.end(side.other()).is_some();
        if let Some(row) = self.by_key.get(&key).copied()
            && self.by_row.get(&row).is_some_and(|flow| is_free(flow, side))
        {
            return Some((row, side));
        }
        // If one of the two roles is unknown, the ends may be exchanged.
        let exchanged = FlowKey::of_record(record, side.other())?;
        let row = self.by_key.get(&exchanged).copied()?;
        let flow = self.by_row.get_mut(&row)?;
        if !is_free(flow, side.other()) {
            return None;
        }
        if record.role == Role::Unknown {
            return Some((row, side.other()));
        }
        if flow.turn() {
            self.by_key.remove(&exchanged);
            self.by_key.insert(key, row);
            return Some((row, side));
        }
        None
    }

    /// Adds a record to the flow `row`.
    fn add(&mut self, row: RowId, record: &ConnectionRecord, opened: bool) {
        let Some(flow) = self.by_row.get_mut(&row) else { return };
        let own = |end: &FlowEnd| end.record.id == record.id;
        let side = match (flow.client.as_ref().is_some_and(own), flow.server.as_ref().is_some_and(own)) {
            (true, _) => Side::Client,
            (_, true) => Side::Server,
            // A socket whose role is unknown takes the free side.
            _ if flow.client.is_some() => Side::Server,
            _ if flow.server.is_some() => Side::Client,
            _ => Side::of_record(record),
        };
        flow.add(record, side, opened);
        if record.end.is_some() && !flow.is_open() {
            self.ended.push_back(row);
        }
    }

    /// Removes a flow that the filter excludes, else the one that ended first, else for a busy connection one that is idle.
    fn evict(&mut self, for_busy: bool) -> Option<Box<Flow>> {
        while let Some(row) = self.excluded.pop() {
            if let Some(flow) = self.forget(row) {
                return Some(flow);
            }
        }
        while let Some(row) = self.ended.pop_front() {
            if self.by_row.get(&row).is_some_and(|flow| !flow.is_open()) {
                self.evicted += 1;
                return self.forget(row);
            }
        }
        while let Some(row) = self.idle.pop_if(|_| for_busy) {
            if self.by_row.get(&row).is_some_and(|flow| !flow.pending().once.has_activity()) {
                return self.forget(row);
            }
        }
        None
    }

    fn forget(&mut self, row: RowId) -> Option<Box<Flow>> {
        let flow = self.by_row.remove(&row)?;
        for (side, end) in flow.ends() {
            self.by_connection.remove(&end.record.id);
            if let Some(key) = FlowKey::of_record(&end.record, side)
                && self.by_key.get(&key) == Some(&row)
            {
                self.by_key.remove(&key);
            }
        }
        Some(flow)
    }

    /// Adds measures to the row `(others)`, and counts the sockets that reported them.
    pub(super) fn fold(&mut self, split: &Split, sockets: u64) {
        self.others.1.add(split);
        self.folded.0 += sockets;
    }

    /// Determines which flows can be removed during the next interval to make room.
    pub(super) fn make_room(&mut self, excluded: Vec<RowId>) {
        self.excluded = excluded;
        self.idle.clear();
        if self.by_row.len() >= self.max {
            let rows = self.by_row.values().map(|flow| &flow.row);
            self.idle.extend(rows.filter(|row| !row.last.once.has_activity()).map(|row| row.id));
        }
    }

    /// Ends the interval of the row `(others)`.
    pub(super) fn roll(&mut self, tick: UnixNanos, interval: Duration) {
        let (row, pending) = &mut self.others;
        row.roll(std::mem::take(pending), tick, interval);
        self.folded = (0, self.folded.0);
    }

    /// Removes flows.
    pub(super) fn remove(&mut self, is_over: impl Fn(&Row) -> bool) {
        let over: Vec<RowId> =
            self.by_row.values().filter(|flow| is_over(&flow.row)).map(|flow| flow.row.id).collect();
        for row in over {
            self.forget(row);
        }
        let by_row = &self.by_row;
        self.ended.retain(|row| by_row.contains_key(row));
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Flow> {
        self.by_row.values_mut().map(|flow| &mut **flow)
    }

    pub(super) fn get(&self, id: RowId) -> Option<&Flow> {
        self.by_row.get(&id).map(|flow| &**flow)
    }

    pub(super) fn row(&self, id: RowId) -> Option<&Row> {
        let others = &self.others.0;
        if others.id == id { Some(others) } else { self.get(id).map(|flow| &flow.row) }
    }

    /// Returns the rows of all flows, with the row `(others)` if it is not empty.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        let others = &self.others.0;
        let has_others = others.total.client.has_activity() || others.total.server.has_activity();
        let flows = self.by_row.values().map(|flow| &flow.row).filter(|row| !row.history.is_empty());
        has_others.then_some(others).into_iter().chain(flows)
    }

    /// Returns the number of sockets without a row in the last interval.
    pub(super) fn folded(&self) -> u64 {
        self.folded.1
    }

    pub(super) fn len(&self) -> usize {
        self.by_row.len()
    }
}

// === impl RowId ===

impl RowId {
    pub(super) fn next(next_id: &mut u64) -> Self {
        *next_id += 1;
        Self(*next_id)
    }
}

// === impl Flow ===

impl Flow {
    /// Adds a record of one of its sockets. `opened` is true for the first record of a connection that opened in this interval.
    fn add(&mut self, record: &ConnectionRecord, side: Side, opened: bool) {
        let mut counts = Measures::of_deltas(record, side);
        counts.opened = u64::from(opened);
        counts.closed = u64::from(matches!(record.event, Event::Close | Event::Vanished));
        counts.failed = u64::from(record.event == Event::Fail);
        let pacing_rate = record.limits.details().pacing_rate;
        let names_changed = match self.end_mut(side) {
            Some(end) => {
                end.pacing_rate = pacing_rate.or(end.pacing_rate);
                let changed = end.record.names != record.names;
                end.pending.extend(&counts);
                // The last record stays: an update can arrive after it.
                if end.record.end.is_none() {
                    end.record = record.clone();
                }
                changed
            }
            end @ None => {
                *end = Some(FlowEnd { record: record.clone(), pacing_rate, pending: counts });
                true
            }
        };
        if names_changed {
            self.row.names = self.names(longwave_pipeline::model::Level::Connection);
            self.rows = [None; 2];
        }
        self.note_end(record, side);
    }
}
