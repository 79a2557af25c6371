//! Chooses the columns that fit, and their widths.

use std::collections::HashSet;

use longwave_pipeline::model::{FailReason, Level};

use super::fit::{cut_middle, pad, width};
use crate::flows::Flow;
use crate::units;

/// Cells between columns.
const GAP: usize = 2;
/// A column is added only if names keep at least this width, in cells.
const NAME_WIDTH: usize = 17;
/// A column is added only if names keep at least one fifth of the screen's width.
const NAME_FRACTION: usize = 5;
/// The same for connections, whose names contain addresses: one quarter.
const ADDRESS_FRACTION: usize = 4;
/// Columns from this priority on are added only if names keep [`COMFORTABLE_NAME_WIDTH`].
const OPTIONAL_PRIORITY: u8 = 6;
const COMFORTABLE_NAME_WIDTH: usize = 24;
/// Maximum width of a service's name.
const MAX_SERVICE_WIDTH: usize = 36;
/// Minimum width of a name on any screen.
const MIN_NAME_WIDTH: usize = 6;

/// A column after the names.
struct Column {
    head: &'static str,
    /// Columns with a lower number are added first.
    priority: u8,
    /// Minimum width. It keeps the columns' positions from window to window.
    min_width: usize,
    text: fn(&Flow) -> String,
    right: bool,
}

/// All columns, from left to right.
const COLUMNS: [Column; 15] = [
    Column { head: "SERVICE", priority: 9, min_width: 7, text: |row| row.service.clone(), right: false },
    Column {
        head: "HERE",
        priority: 4,
        min_width: 6,
        text: |row| row.side.as_str().to_owned(),
        right: false,
    },
    Column { head: "→ BYTES", priority: 6, min_width: 7, text: |row| moved(row.towards), right: true },
    Column { head: "→ B/s", priority: 0, min_width: 5, text: |row| rate(row.towards, row), right: true },
    Column { head: "← BYTES", priority: 6, min_width: 7, text: |row| moved(row.back), right: true },
    Column { head: "← B/s", priority: 0, min_width: 5, text: |row| rate(row.back, row), right: true },
    Column { head: "SEGS", priority: 13, min_width: 5, text: |row| events(row.segments), right: true },
    Column { head: "RETR", priority: 3, min_width: 4, text: |row| events(row.retransmits), right: true },
    Column { head: "LOST", priority: 7, min_width: 4, text: |row| events(row.lost), right: true },
    Column { head: "RTT", priority: 2, min_width: 6, text: |row| time(row.round_trip()), right: true },
    Column { head: "MIN", priority: 11, min_width: 6, text: |row| time(row.min_round_trip), right: true },
    Column { head: "OPEN", priority: 1, min_width: 4, text: |row| events(row.active), right: true },
    Column { head: "OPENED", priority: 8, min_width: 6, text: |row| events(row.opened), right: true },
    Column { head: "CLOSED", priority: 10, min_width: 6, text: |row| events(row.closed), right: true },
    Column { head: "FAILED", priority: 5, min_width: 6, text: failures, right: true },
];

/// The columns of one table.
pub(super) struct Layout {
    source: usize,
    destination: usize,
    numbers: Vec<(&'static Column, usize)>,
    /// Width of the screen, and the widths that the names need.
    screen: usize,
    natural: (usize, usize),
}

// === impl Layout ===

impl Layout {
    /// Adds columns by priority while they fit. The names get the remaining width, each at most what it needs. On a screen of the same width,
    /// the columns of `previous` stay, and no column becomes narrower, so that tables that follow each other line up.
    pub(super) fn choose(
        rows: &[&Flow],
        total: &Flow,
        level: Option<Level>,
        columns: usize,
        previous: Option<&Self>,
    ) -> Self {
        let previous = previous.filter(|previous| previous.screen == columns);
        let former = |head: &str| {
            let mut numbers = previous.into_iter().flat_map(|previous| &previous.numbers);
            numbers.find(|(column, _)| column.head == head).map(|(_, cells)| *cells)
        };
        let natural = |name: fn(&Flow) -> &str, head: &str| {
            rows.iter()
                .copied()
                .chain([total])
                .map(|row| width(name(row)))
                .chain([width(head)])
                .max()
                .unwrap_or_default()
        };
        let before = previous.map_or((0, 0), |previous| previous.natural);
        let source = natural(|row| &row.source, SOURCE).max(before.0);
        let destination = natural(|row| &row.destination, DESTINATION).max(before.1);
        let fraction = if level == Some(Level::Connection) { ADDRESS_FRACTION } else { NAME_FRACTION };
        let name_room = NAME_WIDTH.max(columns / fraction);
        let names_within = |room: usize| source.min(room) + GAP + destination.min(room);

        static ALL: [Column; 15] = COLUMNS;
        let (is_failing, is_lossy) =
            (rows.iter().any(|row| row.failed > 0), rows.iter().any(|row| row.is_lossy()));
        let has_both_ends = has_flow_with_both_ends(rows);
        let mut wanted: Vec<(u8, usize, &'static Column, usize)> = Vec::new();
        for (position, column) in ALL.iter().enumerate() {
            let texts: Vec<_> = rows.iter().copied().chain([total]).map(column.text).collect();
            let is_blank = texts.iter().all(|text| text.is_empty() || text == NONE);
            let former = former(column.head);
            let priority = match column.head {
                _ if former.is_some() => 0,
                "SERVICE" if is_blank => continue,
                // Failures and losses must be seen on a screen of any width.
                "FAILED" if is_failing => 0,
                "RETR" if is_lossy => 0,
                // Without it two rows of one flow would look equal.
                "HERE" if has_both_ends => 0,
                _ if is_blank => column.priority + 20,
                _ => column.priority,
            };
            let least = [width(column.head), column.min_width, former.unwrap_or(0)];
            let cells = texts.iter().map(|text| width(text)).chain(least).max();
            let cells = cells.unwrap_or_default();
            wanted.push((
                priority,
                position,
                column,
                if column.right { cells } else { cells.min(MAX_SERVICE_WIDTH) },
            ));
        }
        wanted.sort_by_key(|(priority, position, ..)| (*priority, *position));
        let mut used = 0;
        let mut chosen: Vec<_> = Vec::new();
        for (priority, position, column, cells) in wanted {
            let room =
                if priority < OPTIONAL_PRIORITY { name_room } else { name_room.max(COMFORTABLE_NAME_WIDTH) };
            // A narrow column may fit although a wide one with higher priority did not.
            if names_within(room) + used + GAP + cells <= columns {
                used += GAP + cells;
                chosen.push((position, column, cells));
            }
        }
        chosen.sort_by_key(|(position, ..)| *position);
        let numbers: Vec<_> = chosen.into_iter().map(|(_, column, cells)| (column, cells)).collect();
        let taken: usize = numbers.iter().map(|(_, cells)| GAP + cells).sum();
        let room = columns.saturating_sub(taken + GAP).max(2 * MIN_NAME_WIDTH);
        let natural = (source, destination);
        let (source, destination) = share(room, source, destination);
        Self { source, destination, numbers, screen: columns, natural }
    }

    pub(super) fn head(&self) -> String {
        self.cells(SOURCE, DESTINATION, |column| column.head.to_owned())
    }

    pub(super) fn line(&self, row: &Flow) -> String {
        self.cells(&row.source, &row.destination, column_text(row))
    }

    fn cells(&self, source: &str, destination: &str, text: impl Fn(&Column) -> String) -> String {
        let mut line = pad(&cut_middle(source, self.source), self.source, false);
        line += &" ".repeat(GAP);
        line += &pad(&cut_middle(destination, self.destination), self.destination, false);
        for (column, cells) in &self.numbers {
            line += &" ".repeat(GAP);
            line += &pad(&cut_middle(&text(column), *cells), *cells, column.right);
        }
        line
    }
}

const SOURCE: &str = "SOURCE";
const DESTINATION: &str = "DESTINATION";
/// Shown for a number that is zero or absent, so that other numbers stand out.
const NONE: &str = "-";

fn column_text(row: &Flow) -> impl Fn(&Column) -> String + '_ {
    move |column| (column.text)(row)
}

/// Returns whether any flow has a row for each of its ends.
fn has_flow_with_both_ends(rows: &[&Flow]) -> bool {
    let mut seen = HashSet::new();
    rows.iter().any(|row| !seen.insert(row.ends()))
}

/// Divides `room` between two names. Each gets the width that it needs. If `room` is less than both need, a name gets what
/// the other one leaves, but no less than half if it needs that.
fn share(room: usize, one: usize, other: usize) -> (usize, usize) {
    if one + other <= room {
        return (one, other);
    }
    let half = room / 2;
    if one <= half {
        (one, room - one)
    } else if other <= room - half {
        (room - other, other)
    } else {
        (half, room - half)
    }
}

fn moved(bytes: u64) -> String {
    if bytes == 0 { NONE.to_owned() } else { units::bytes(bytes) }
}

fn rate(bytes: u64, row: &Flow) -> String {
    if bytes == 0 || row.seconds <= 0.0 { NONE.to_owned() } else { units::rate(bytes as f64 / row.seconds) }
}

fn events(count: u64) -> String {
    if count == 0 { NONE.to_owned() } else { units::count(count) }
}

/// Returns the number of failed opens and the most frequent reason: `25 refused`.
fn failures(row: &Flow) -> String {
    let reason = match row.failure {
        None => "",
        Some(FailReason::Refused) => " refused",
        Some(FailReason::Timeout) => " timeout",
        Some(FailReason::Unreachable) => " no route",
        Some(FailReason::Reset) => " reset",
        Some(FailReason::AddressUnavailable) => " no port",
        Some(FailReason::Cancelled) => " cancelled",
        Some(FailReason::Errno(_)) => " error",
    };
    if row.failed == 0 { NONE.to_owned() } else { format!("{}{reason}", units::count(row.failed)) }
}

fn time(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| NONE.to_owned(), units::seconds)
}
