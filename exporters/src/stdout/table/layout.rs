//! Which columns fit, and how wide they are.

use std::collections::HashSet;

use longwave_pipeline::model::Level;

use super::super::units;
use super::fit::{middle, pad, width};
use super::rows::Row;

/// Between columns.
const GAP: usize = 2;
/// Names are not cut below this to make room for another column: so many cells, or this part of the screen.
const NAME_ROOM: usize = 17;
const NAME_PART: usize = 5;
/// The same for connections, whose names hold addresses.
const ADDRESS_PART: usize = 4;
/// Columns from this priority on leave the names more room.
const DISPENSABLE: u8 = 6;
const NAME_COMFORT: usize = 24;
/// Widest a service's name may be.
const SERVICE_ROOM: usize = 36;
/// Names are not cut below this at all.
const NAME_LEAST: usize = 6;

/// A column of numbers.
struct Column {
    head: &'static str,
    /// Lower comes first into the table.
    priority: u8,
    /// Wide enough that the table keeps its shape from window to window.
    least: usize,
    text: fn(&Row) -> String,
    right: bool,
}

/// In the order in which they stand.
const COLUMNS: [Column; 15] = [
    Column { head: "SERVICE", priority: 9, least: 7, text: |row| row.service.clone(), right: false },
    Column { head: "HERE", priority: 4, least: 6, text: |row| row.side.shown().to_owned(), right: false },
    Column { head: "→ BYTES", priority: 6, least: 7, text: |row| moved(row.towards), right: true },
    Column { head: "→ B/s", priority: 0, least: 5, text: |row| rate(row.towards, row), right: true },
    Column { head: "← BYTES", priority: 6, least: 7, text: |row| moved(row.back), right: true },
    Column { head: "← B/s", priority: 0, least: 5, text: |row| rate(row.back, row), right: true },
    Column { head: "SEGS", priority: 13, least: 5, text: |row| events(row.segments), right: true },
    Column { head: "RETR", priority: 3, least: 4, text: |row| events(row.retransmits), right: true },
    Column { head: "LOST", priority: 7, least: 4, text: |row| events(row.lost), right: true },
    Column { head: "RTT", priority: 2, least: 6, text: |row| time(row.round_trip()), right: true },
    Column { head: "MIN", priority: 11, least: 6, text: |row| time(row.round_trip_min), right: true },
    Column { head: "OPEN", priority: 1, least: 4, text: |row| events(row.active), right: true },
    Column { head: "OPENED", priority: 8, least: 6, text: |row| events(row.opened), right: true },
    Column { head: "CLOSED", priority: 10, least: 6, text: |row| events(row.closed), right: true },
    Column { head: "FAILED", priority: 5, least: 6, text: |row| events(row.failed), right: true },
];

/// The columns of one table.
pub(super) struct Layout {
    source: usize,
    destination: usize,
    numbers: Vec<(&'static Column, usize)>,
}

// === impl Layout ===

impl Layout {
    /// Takes columns by priority while they fit; the names get what is left, each at most what it needs.
    pub(super) fn choose(rows: &[Row], total: &Row, level: Option<Level>, columns: usize) -> Self {
        let natural = |name: fn(&Row) -> &str, head: &str| {
            rows.iter()
                .chain([total])
                .map(|row| width(name(row)))
                .chain([width(head)])
                .max()
                .unwrap_or_default()
        };
        let source = natural(|row| &row.source, SOURCE);
        let destination = natural(|row| &row.destination, DESTINATION);
        let part = if level == Some(Level::Connection) { ADDRESS_PART } else { NAME_PART };
        let name_room = NAME_ROOM.max(columns / part);
        let names_within = |room: usize| source.min(room) + GAP + destination.min(room);

        static ALL: [Column; 15] = COLUMNS;
        let twice = seen_twice(rows);
        let mut wanted: Vec<(u8, usize, &'static Column, usize)> = Vec::new();
        for (place, column) in ALL.iter().enumerate() {
            let texts: Vec<_> = rows.iter().chain([total]).map(column.text).collect();
            let says_nothing = texts.iter().all(|text| text.is_empty() || text == NONE);
            let priority = match column.head {
                "SERVICE" if says_nothing => continue,
                // Two rows of one flow would look the same without it.
                "HERE" if twice => 0,
                _ if says_nothing => column.priority + 20,
                _ => column.priority,
            };
            let cells = texts.iter().map(|text| width(text)).chain([width(column.head), column.least]).max();
            let cells = cells.unwrap_or_default();
            wanted.push((
                priority,
                place,
                column,
                if column.right { cells } else { cells.min(SERVICE_ROOM) },
            ));
        }
        wanted.sort_by_key(|(priority, place, ..)| (*priority, *place));
        let mut used = 0;
        let mut chosen: Vec<_> = Vec::new();
        for (priority, place, column, cells) in wanted {
            let room = if priority < DISPENSABLE { name_room } else { name_room.max(NAME_COMFORT) };
            // A narrow column may fit where a wide one of higher priority did not.
            if names_within(room) + used + GAP + cells <= columns {
                used += GAP + cells;
                chosen.push((place, column, cells));
            }
        }
        chosen.sort_by_key(|(place, ..)| *place);
        let numbers: Vec<_> = chosen.into_iter().map(|(_, column, cells)| (column, cells)).collect();
        let taken: usize = numbers.iter().map(|(_, cells)| GAP + cells).sum();
        let room = columns.saturating_sub(taken + GAP).max(2 * NAME_LEAST);
        let (source, destination) = share(room, source, destination);
        Self { source, destination, numbers }
    }

    pub(super) fn head(&self) -> String {
        self.cells(SOURCE, DESTINATION, |column| column.head.to_owned())
    }

    pub(super) fn line(&self, row: &Row) -> String {
        self.cells(&row.source, &row.destination, column_text(row))
    }

    fn cells(&self, source: &str, destination: &str, text: impl Fn(&Column) -> String) -> String {
        let mut line = pad(&middle(source, self.source), self.source, false);
        line += &" ".repeat(GAP);
        line += &pad(&middle(destination, self.destination), self.destination, false);
        for (column, cells) in &self.numbers {
            line += &" ".repeat(GAP);
            line += &pad(&middle(&text(column), *cells), *cells, column.right);
        }
        line
    }
}

const SOURCE: &str = "SOURCE";
const DESTINATION: &str = "DESTINATION";
/// For a number that is zero or absent: what is not zero stands out.
const NONE: &str = "-";

fn column_text(row: &Row) -> impl Fn(&Column) -> String + '_ {
    move |column| (column.text)(row)
}

/// Both ends of some flow are on this host.
fn seen_twice(rows: &[Row]) -> bool {
    let mut seen = HashSet::new();
    rows.iter().any(|row| !seen.insert((&row.source, &row.destination, &row.service)))
}

/// Gives each what it needs, or, if that is too much, what the other leaves, at least half.
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

fn rate(bytes: u64, row: &Row) -> String {
    if bytes == 0 || row.seconds <= 0.0 { NONE.to_owned() } else { units::rate(bytes as f64 / row.seconds) }
}

fn events(count: u64) -> String {
    if count == 0 { NONE.to_owned() } else { units::count(count) }
}

fn time(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| NONE.to_owned(), units::seconds)
}
