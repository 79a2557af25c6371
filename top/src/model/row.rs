//! [`Row`]: one line of a table, at any level.

use std::time::Duration;

use longwave_pipeline::model::{CloseReason, End, Endpoint, UnixNanos};

use super::history::History;
use super::measures::Split;
use super::names::RowNames;

/// Identifies a row. Later rows have larger ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId(pub(super) u64);

/// One line of a table: a connection, or all flows between two workloads or to a service.
#[derive(Clone, Debug)]
pub struct Row {
    /// Identifies the row as long as it exists.
    pub id: RowId,
    /// The row of the level above that contains this one.
    pub parent: Option<RowId>,
    /// Names of its ends and of its service.
    pub names: RowNames,
    /// Measures of the last interval.
    pub last: Split,
    /// Measures since the model began.
    pub total: Split,
    /// The last intervals.
    pub history: History,
    /// Age of the oldest open connection.
    pub age: Option<Age>,
    /// How the connection ended. For a row of several connections, how the last one ended that failed or was not closed by FINs.
    pub last_end: Option<LastEnd>,
    /// Time since which it has neither open connections nor activity.
    pub ended: Option<UnixNanos>,
    /// Whether the filter excludes it.
    pub is_hidden: bool,
}

/// How long a connection has existed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age {
    /// Time since the open, or since the first record if the open is not known.
    pub since: Duration,
    /// Whether the connection may be older.
    pub is_minimum: bool,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastEnd {
    /// Close or failure.
    pub end: End,
    /// Address of the server.
    pub server: Endpoint,
    /// Time of the record that reported it.
    pub at: UnixNanos,
}

// === impl Row ===

impl Row {
    pub(super) fn new(id: RowId, names: RowNames) -> Self {
        Self {
            id,
            parent: None,
            names,
            last: Split::default(),
            total: Split::default(),
            history: History::default(),
            age: None,
            last_end: None,
            ended: None,
            is_hidden: false,
        }
    }

    /// Ends the interval, in which the row had `split`.
    pub(super) fn roll(&mut self, split: Split, tick: UnixNanos, interval: Duration) {
        self.history.push(&split.once, interval);
        self.total.extend(&split);
        self.last = split;
        let is_alive = |split: &Split| {
            [&split.client, &split.server, &split.once]
                .iter()
                .any(|part| part.open > 0 || part.has_activity())
        };
        self.ended = if is_alive(&self.last) { None } else { self.ended.or(Some(tick)) };
    }
}

// === impl LastEnd ===

impl LastEnd {
    /// Returns whether it is worth a mention: a connection failed, or was not closed by FINs.
    pub fn is_abnormal(&self) -> bool {
        self.end != End::Closed(CloseReason::Fin)
    }
}
