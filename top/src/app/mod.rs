//! What the user sees and does: views, levels, selection, prompts. It draws nothing, and its keys are values, so that tests press them.

mod column;
mod input;
pub mod keys;
mod list;
mod view_kind;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use longwave_pipeline::model::{Batch, Level, PassEnd, UnixNanos};
use longwave_processors::filter::{Expression, ExpressionError};

pub use column::{Column, Sort, lines_of};
pub use input::Input;
pub use list::{List, Selection};
pub use view_kind::ViewKind;

use crate::model::{Model, Row, RowId, RowNames};

/// Where the records come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A Longwave that runs on this host, or this process itself. The text names it.
    Live(String),
    /// A record file, with the time of its first and last interval.
    Recording {
        /// Name of the file.
        name: String,
        /// End of the first interval.
        first: UnixNanos,
        /// End of the last interval.
        last: UnixNanos,
        /// Why the file ends without an end mark. `None` if it has one.
        fault: Option<String>,
    },
}

/// What the loop has to do after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Only draw.
    Draw,
    /// End the program.
    Quit,
    /// Stop the process, as Ctrl-Z does.
    Suspend,
    /// Show another time of the recording.
    Seek(Seek),
}

/// Another time of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// The next interval.
    Next,
    /// The previous interval.
    Back,
    /// This many seconds later, or earlier if negative.
    By(i64),
    /// The interval that contains this time.
    To(UnixNanos),
}

/// What covers the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overlay {
    /// The help. Its first line on the screen is the one with this index.
    Help(u16),
    /// The choice of columns, with the index of the selected one.
    Columns(usize),
}

/// What the last line is used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// A filter, and why it was not accepted.
    Filter(Input, Option<String>),
    /// A time of the recording, likewise.
    Jump(Input, Option<String>),
}

/// A row and its names.
pub type NamedRow = (RowId, RowNames);

/// A level to which Esc returns, with its scope and its rows.
type LevelAbove = (Level, Option<NamedRow>, List);

/// State of one view.
#[derive(Clone, Debug)]
pub struct View {
    /// Level of the rows.
    pub level: Level,
    /// Row of the level above to which the rows belong, with its name.
    pub scope: Option<NamedRow>,
    /// The levels above, to which Esc returns.
    above: Vec<LevelAbove>,
    /// Order of the rows.
    pub sort: Sort,
    /// The rows.
    pub list: List,
}

/// State of the program.
#[derive(Debug)]
pub struct App {
    /// Where the records come from.
    pub origin: Origin,
    /// Message to the user, such as a fault of the source.
    pub notice: Option<String>,
    model: Model,
    /// The model that a frozen screen shows.
    frozen: Option<Box<Model>>,
    views: Vec<View>,
    current: ViewKind,
    /// Whether totals are shown instead of rates.
    pub totals: bool,
    /// Whether each end of a row has a line.
    pub both_ends: bool,
    /// Whether rows are sorted after each interval.
    pub sorts_always: bool,
    /// Whether a recording plays, one interval per second.
    pub plays: bool,
    /// The connection whose details are shown.
    pub detail: Option<RowId>,
    /// First line of the details on the screen.
    pub detail_offset: u16,
    /// What covers the table.
    pub overlay: Option<Overlay>,
    /// What the last line is used for.
    pub prompt: Option<Prompt>,
    /// Columns that the user has chosen (true) or removed.
    pub columns: BTreeMap<Column, bool>,
    /// Rows that fit on the screen.
    page: usize,
    /// Time since the last interval ended, by the clock of the loop.
    pub silence: Duration,
}

// === impl View ===

impl View {
    fn new(kind: ViewKind) -> Self {
        let level = if kind == ViewKind::Connections { Level::Connection } else { Level::Workload };
        Self { level, scope: None, above: Vec::new(), sort: kind.sort(), list: List::default() }
    }
}

// === impl App ===

impl App {
    /// Creates the state at the start.
    pub fn new(origin: Origin, model: Model) -> Self {
        Self {
            origin,
            notice: None,
            model,
            frozen: None,
            views: ViewKind::ALL.map(View::new).into(),
            current: ViewKind::Talkers,
            totals: false,
            both_ends: false,
            sorts_always: false,
            plays: false,
            detail: None,
            detail_offset: 0,
            overlay: None,
            prompt: None,
            columns: BTreeMap::new(),
            page: 1,
            silence: Duration::ZERO,
        }
    }

    /// Returns the model that is shown. It does not change while the screen is frozen.
    pub fn model(&self) -> &Model {
        self.frozen.as_deref().unwrap_or(&self.model)
    }

    /// Returns whether the screen is frozen.
    pub fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// Returns whether the source is a record file.
    pub fn is_recording(&self) -> bool {
        matches!(self.origin, Origin::Recording { .. })
    }

    /// Returns which view is shown.
    pub fn kind(&self) -> ViewKind {
        self.current
    }

    /// Returns the view that is shown.
    pub fn view(&self) -> &View {
        &self.views[self.current.index()]
    }

    /// Returns the view that is shown.
    pub fn view_mut(&mut self) -> &mut View {
        &mut self.views[self.current.index()]
    }

    /// Returns the rows that a view would have at the level of workloads.
    pub fn members(&self, kind: ViewKind) -> impl Iterator<Item = &Row> {
        let belongs = kind.belongs();
        self.model().rows(Level::Workload).filter(move |row| belongs(row))
    }

    /// Adds what the source sends.
    pub fn take(&mut self, batch: &Batch) {
        match batch {
            Batch::Records(records) => self.model.records(records),
            Batch::PassEnd(pass_end) => self.pass_end(*pass_end),
            Batch::Window(_) => {}
        }
    }

    fn pass_end(&mut self, pass_end: PassEnd) {
        self.model.pass_end(pass_end);
        self.silence = Duration::ZERO;
        if self.frozen.is_none() {
            self.interval_ended();
        }
    }

    /// Removes all records, because those of another time, or of a Longwave that has started again, follow.
    pub fn restart(&mut self) {
        self.model.restart();
        if self.frozen.is_none() {
            self.forget_rows();
        }
    }

    /// Removes all records and calls `replay`, which adds others. The level, the selected row and the details stay, if their rows exist
    /// afterwards.
    ///
    /// # Errors
    /// Returns the error of `replay`.
    pub fn replace<E>(&mut self, replay: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<(), E> {
        let named =
            |app: &Self, id: Option<RowId>| id.and_then(|id| Some(app.model().row(id)?.names.clone()));
        let view = self.view();
        let (level, scope) = (view.level, view.scope.clone().map(|(_, names)| names));
        let above: Vec<_> = view.above.iter().map(|(level, scope, _)| (*level, scope.clone())).collect();
        let selected = named(self, view.list.selected());
        let detail = named(self, self.detail);
        self.frozen = None;
        self.restart();
        let result = replay(self);
        let find = |app: &Self, level, names: RowNames| {
            app.model.rows(level).find(|row| row.names == names).map(|row| (row.id, names.clone()))
        };
        let level_above = above.last().map_or(Level::Workload, |(level, _)| *level);
        let found = scope.clone().map(|names| find(self, level_above, names));
        if let Some(None) = found {
            self.refresh();
            return result;
        }
        let above: Vec<_> = above
            .into_iter()
            .map(|(level, scope)| {
                let scope = scope.and_then(|(_, names)| find(self, Level::Service, names));
                (level, scope, List::default())
            })
            .collect();
        let view = self.view_mut();
        (view.level, view.scope, view.above) = (level, found.flatten(), above);
        self.resort();
        if let Some((id, _)) = selected.and_then(|names| find(self, level, names)) {
            self.view_mut().list.select(id);
        }
        self.detail = detail.and_then(|names| find(self, Level::Connection, names)).map(|(id, _)| id);
        result
    }

    /// Resets every view to its first level, because its rows no longer exist.
    fn forget_rows(&mut self) {
        for (view, kind) in self.views.iter_mut().zip(ViewKind::ALL) {
            let View { level, sort, .. } = *view;
            *view = View::new(kind);
            view.sort = sort;
            if view.level != Level::Connection && level == Level::Service {
                view.level = level;
            }
        }
        self.detail = None;
    }

    fn interval_ended(&mut self) {
        let always = self.sorts_always;
        let view = self.view_mut();
        view.list.interval_ended();
        if always {
            view.list.resort();
        }
        self.refresh();
    }

    /// Adds new rows of the model to the list, and removes those that no longer exist.
    pub fn refresh(&mut self) {
        let model = self.frozen.as_deref().unwrap_or(&self.model);
        let view = &mut self.views[self.current.index()];
        let selection = Selection {
            level: view.level,
            scope: view.scope.as_ref().map(|(id, _)| *id),
            belongs: self.current.belongs(),
        };
        view.list.refresh(model, &selection, view.sort, self.totals);
    }

    /// Scrolls the list so that the selected row is on a screen with room for `page` rows.
    pub fn fit(&mut self, page: usize) {
        self.page = page;
        let model = self.frozen.as_deref().unwrap_or(&self.model);
        self.views[self.current.index()].list.scroll(model, self.both_ends, page);
    }

    fn resort(&mut self) {
        self.view_mut().list.resort();
        self.refresh();
    }

    fn show(&mut self, kind: ViewKind) {
        self.current = kind;
        self.detail = None;
        self.resort();
    }

    /// Freezes the screen, or resumes it.
    fn freeze(&mut self) {
        self.frozen = if self.frozen.is_some() { None } else { Some(Box::new(self.model.clone())) };
        self.refresh();
        if self.detail.is_some_and(|id| self.model().flow(id).is_none()) {
            self.detail = None;
        }
    }

    /// Shows only the connections that the expression `text` selects.
    ///
    /// # Errors
    /// The text is not an expression.
    pub fn set_filter(&mut self, text: &str) -> Result<(), ExpressionError> {
        let filter = match text.trim() {
            "" => None,
            text => Some(text.parse::<Expression>()?),
        };
        self.model.set_filter(filter.clone());
        if let Some(frozen) = &mut self.frozen {
            frozen.set_filter(filter);
        }
        self.forget_rows();
        self.refresh();
        Ok(())
    }

    /// Shows what the selected row contains.
    fn enter(&mut self) {
        let Some(selected) = self.view().list.selected() else { return };
        let Some(row) = self.model().row(selected) else { return };
        let name = row.names.clone();
        let view = self.view_mut();
        let below = match view.level {
            Level::Service => Level::Workload,
            Level::Workload => Level::Connection,
            Level::Connection => {
                if self.model().flow(selected).is_some() {
                    (self.detail, self.detail_offset) = (Some(selected), 0);
                }
                return;
            }
        };
        view.list.select(selected);
        let list = std::mem::take(&mut view.list);
        view.above.push((view.level, view.scope.take(), list));
        (view.level, view.scope) = (below, Some((selected, name)));
        self.resort();
    }

    /// Returns to the level above.
    fn leave(&mut self) {
        if self.detail.take().is_some() {
            return;
        }
        let selected = self.view().list.selected().and_then(|id| self.model().row(id)?.parent);
        let view = self.view_mut();
        match (view.above.pop(), view.level) {
            (Some((level, scope, list)), _) => (view.level, view.scope, view.list) = (level, scope, list),
            (None, Level::Workload) => {
                (view.level, view.list) = (Level::Service, List::default());
                self.resort();
                if let Some(parent) = selected {
                    self.view_mut().list.select(parent);
                }
            }
            (None, _) => {}
        }
        self.refresh();
    }
}
