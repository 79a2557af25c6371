//! [`List`]: the rows of one view, in an order that stays.

use std::cmp::Ordering;
use std::collections::HashSet;

use longwave_pipeline::model::Level;

use super::column::{Sort, lines_of};
use crate::model::{Model, Row, RowId, Side};

/// A set of rows.
type RowIds = HashSet<RowId, foldhash::fast::RandomState>;

/// Number of intervals after which a new list keeps its order. The first interval after the start is incomplete.
const INTERVALS_UNTIL_SETTLED: u8 = 2;

/// Which rows a list has.
#[derive(Clone, Copy, Debug)]
pub struct Selection {
    /// Level of the rows.
    pub level: Level,
    /// Only rows that this row of the level above contains.
    pub scope: Option<RowId>,
    /// Only rows for which this is true.
    pub belongs: fn(&Row) -> bool,
}

/// Rows in order, and which of them is selected.
#[derive(Clone, Debug)]
pub struct List {
    order: Vec<RowId>,
    /// Number of rows at the end that were added after the list was sorted.
    new: usize,
    /// Number of intervals after which the list is still sorted again.
    intervals_until_settled: u8,
    selected: Option<RowId>,
    /// First line that is on the screen.
    pub offset: usize,
}

// === impl List ===

impl Default for List {
    fn default() -> Self {
        Self {
            order: Vec::new(),
            new: 0,
            intervals_until_settled: INTERVALS_UNTIL_SETTLED,
            selected: None,
            offset: 0,
        }
    }
}

impl List {
    /// Makes the next [`Self::refresh`] sort all rows.
    pub fn resort(&mut self) {
        self.order.clear();
        self.new = 0;
    }

    /// Called when an interval has ended. Sorts a list that has not settled yet.
    pub fn interval_ended(&mut self) {
        if self.intervals_until_settled > 0 {
            self.intervals_until_settled -= 1;
            self.resort();
        }
    }

    /// Keeps the order from now on.
    pub fn settle(&mut self) {
        self.intervals_until_settled = 0;
    }

    /// Removes rows that do not belong to the list any more, and adds new ones at its end, sorted among themselves.
    pub fn refresh(&mut self, model: &Model, selection: &Selection, sort: Sort, totals: bool) {
        let mut members: Vec<&Row> = model
            .rows(selection.level)
            .filter(|row| selection.scope.is_none() || row.parent == selection.scope)
            .filter(|row| (selection.belongs)(row))
            .collect();
        let ids: RowIds = members.iter().map(|row| row.id).collect();
        let before = self.order.len() - self.new;
        let stayed = self.order.iter().take(before).filter(|id| ids.contains(id)).count();
        self.order.retain(|id| ids.contains(id));
        let known: RowIds = self.order.iter().copied().collect();
        let is_first = known.is_empty();
        members.retain(|row| !known.contains(&row.id));
        members.sort_by(|one, other| compare(one, other, sort, totals));
        self.order.extend(members.iter().map(|row| row.id));
        self.new = if is_first { 0 } else { self.order.len() - stayed };
        if !self.selected.is_some_and(|id| ids.contains(&id)) {
            self.selected = None;
        }
    }

    /// Returns the row of each line, and the end whose measures the line shows. `None` if it shows those of the whole row.
    pub fn lines(&self, model: &Model, both_ends: bool) -> Vec<(RowId, Option<Side>)> {
        if !both_ends {
            return self.order.iter().map(|id| (*id, None)).collect();
        }
        let rows = self.order.iter().filter_map(|id| model.row(*id));
        rows.flat_map(|row| lines_of(row, true).map(move |side| (row.id, side))).collect()
    }

    /// Moves the first line on the screen as little as possible, so that the selected row is on it.
    pub fn scroll(&mut self, model: &Model, both_ends: bool, room: usize) {
        let (lines, selected) = (self.lines(model, both_ends), self.selected());
        let at = lines.iter().position(|(id, _)| Some(*id) == selected).unwrap_or_default();
        let lowest = (at + 1).saturating_sub(room);
        self.offset = self.offset.clamp(lowest, at.max(lowest)).min(lines.len().saturating_sub(room));
    }

    /// Returns the rows in order.
    pub fn order(&self) -> &[RowId] {
        &self.order
    }

    /// Returns the number of rows at the end that were added after the list was sorted.
    pub fn new_rows(&self) -> usize {
        self.new
    }

    /// Returns the selected row, which is the first one unless the user chose another.
    pub fn selected(&self) -> Option<RowId> {
        self.selected.or_else(|| self.order.first().copied())
    }

    /// Selects a row.
    pub fn select(&mut self, id: RowId) {
        self.selected = Some(id);
        self.settle();
    }

    /// Moves the selection by `rows`, down if positive.
    pub fn step(&mut self, rows: isize) {
        let current = self.selected().and_then(|id| self.order.iter().position(|other| *other == id));
        let last = self.order.len().saturating_sub(1);
        let next = current.unwrap_or(0).saturating_add_signed(rows).min(last);
        if let Some(id) = self.order.get(next) {
            self.select(*id);
        }
    }
}

/// Compares rows for the order of a list. Ended rows are last, whatever the direction.
fn compare(one: &Row, other: &Row, sort: Sort, totals: bool) -> Ordering {
    let by_column = sort.by.compare(one, other, totals);
    let by_column = if sort.ascending { by_column } else { by_column.reverse() };
    let ended = one.ended.is_some().cmp(&other.ended.is_some());
    let by_name = || {
        let (one, other) = (&one.names, &other.names);
        one.source.cmp(&other.source).then_with(|| one.destination.cmp(&other.destination))
    };
    ended.then(by_column).then_with(by_name).then(one.id.cmp(&other.id))
}
