//! [`Column`]: what a table can show of a row.

use std::cmp::Ordering;

use crate::model::{Row, Side};

/// A column after the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "`about` describes each")]
pub enum Column {
    Service,
    Here,
    Bytes,
    Out,
    In,
    Retransmits,
    Lost,
    Limit,
    Rtt,
    MinRtt,
    Trend,
    Open,
    Opened,
    Failed,
    Age,
    LastEnd,
}

/// How a list is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// Column by which the list is sorted.
    pub by: Column,
    /// Whether the smallest is first.
    pub ascending: bool,
}

// === impl Column ===

impl Column {
    /// All columns, from left to right.
    pub const ALL: [Self; 16] = [
        Self::Service,
        Self::Here,
        Self::Bytes,
        Self::Out,
        Self::In,
        Self::Retransmits,
        Self::Lost,
        Self::Limit,
        Self::Rtt,
        Self::MinRtt,
        Self::Trend,
        Self::Open,
        Self::Opened,
        Self::Failed,
        Self::Age,
        Self::LastEnd,
    ];

    /// Returns the heading, for rates per second or for totals.
    pub fn head(self, totals: bool) -> &'static str {
        match self {
            Self::Service => "SERVICE",
            Self::Here => "HERE",
            Self::Bytes if totals => "BYTES",
            Self::Bytes => "B/s",
            Self::Out if totals => "→ BYTES",
            Self::Out => "→ B/s",
            Self::In if totals => "← BYTES",
            Self::In => "← B/s",
            Self::Retransmits => "RETR%",
            Self::Lost => "LOST",
            Self::Limit => "LIMIT",
            Self::Rtt => "RTT",
            Self::MinRtt => "MIN",
            Self::Trend => "RTT TREND",
            Self::Open => "OPEN",
            Self::Opened => "OPENED",
            Self::Failed => "FAILED",
            Self::Age => "AGE",
            Self::LastEnd => "LAST END",
        }
    }

    /// Describes the column in one line.
    pub fn about(self) -> &'static str {
        match self {
            Self::Service => "service that the client connected to",
            Self::Here => "end that reports the line (with both ends)",
            Self::Bytes => "payload in both directions",
            Self::Out => "payload from the left to the right end",
            Self::In => "payload from the right to the left end",
            Self::Retransmits => "share of the segments with data that were sent again",
            Self::Lost => "segments that the kernel marked as lost",
            Self::Limit => "what limited the sender for most of the time",
            Self::Rtt => "round trip now, of the slowest connection",
            Self::MinRtt => "minimum round trip of the connections",
            Self::Trend => "round trip of the last intervals",
            Self::Open => "open connections",
            Self::Opened => "connections that were established",
            Self::Failed => "connections that could not be established",
            Self::Age => "age of the oldest connection; > if it may be older",
            Self::LastEnd => "how the last one failed or was cut, and its server",
        }
    }

    /// Returns the width in cells.
    pub fn width(self) -> u16 {
        match self {
            Self::Service => 20,
            Self::Here | Self::Retransmits | Self::Opened | Self::Failed => 6,
            Self::Bytes | Self::Out | Self::In | Self::Rtt | Self::MinRtt | Self::Age => 7,
            Self::Lost | Self::Open => 5,
            Self::Trend => 10,
            Self::Limit => 11,
            Self::LastEnd => 30,
        }
    }

    /// Returns whether it is text, aligned to the left.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Service | Self::Here | Self::Limit | Self::Trend | Self::LastEnd)
    }

    /// Returns whether rows can be sorted by it.
    pub fn can_sort(self) -> bool {
        !matches!(self, Self::Here | Self::Trend)
    }

    /// Compares two rows by this column, the smaller first. Counts are those of the last interval, or with `totals` those since the model
    /// began.
    pub fn compare(self, one: &Row, other: &Row, totals: bool) -> Ordering {
        let measures = |row: &Row| if totals { row.total.once } else { row.last.once };
        let (a, b) = (measures(one), measures(other));
        match self {
            Self::Service => one.names.service.cmp(&other.names.service),
            Self::Here | Self::Trend => Ordering::Equal,
            // Rows without bytes in the last interval are compared by their totals.
            Self::Bytes => (a.bytes(), one.total.once.bytes()).cmp(&(b.bytes(), other.total.once.bytes())),
            Self::Out => a.towards.cmp(&b.towards),
            Self::In => a.back.cmp(&b.back),
            Self::Retransmits => {
                let share = |row: &Row| {
                    let share = measures(row).retransmit_ratio().unwrap_or_default();
                    (share, row.total.once.retransmit_ratio().unwrap_or_default())
                };
                share(one).partial_cmp(&share(other)).unwrap_or(Ordering::Equal)
            }
            Self::Lost => (a.lost, one.total.once.lost).cmp(&(b.lost, other.total.once.lost)),
            Self::Limit => a.limits.dominant().cmp(&b.limits.dominant()),
            Self::Rtt => one.last.once.rtt.cmp(&other.last.once.rtt),
            Self::MinRtt => one.total.once.min_rtt.cmp(&other.total.once.min_rtt),
            Self::Open => a.open.cmp(&b.open),
            Self::Opened => a.opened.cmp(&b.opened),
            Self::Failed => (a.failed, one.total.once.failed).cmp(&(b.failed, other.total.once.failed)),
            Self::Age => one.age.cmp(&other.age),
            Self::LastEnd => one.last_end.map(|end| end.at).cmp(&other.last_end.map(|end| end.at)),
        }
    }
}

/// Returns one element for each line of a row: `None` for a line of the whole row, or with `both_ends` each side that reports something.
pub fn lines_of(row: &Row, both_ends: bool) -> impl Iterator<Item = Option<Side>> {
    let reports = |side: Side| {
        let (last, total) = (row.last.of(Some(side)), row.total.of(Some(side)));
        (last.open > 0 || total.has_activity()).then_some(Some(side))
    };
    let sides = [reports(Side::Client), reports(Side::Server)];
    let once = !both_ends || sides.iter().all(Option::is_none);
    let lines = if once { [Some(None), None] } else { sides };
    lines.into_iter().flatten()
}
