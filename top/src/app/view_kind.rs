//! [`ViewKind`]: the five views.

use super::column::{Column, Sort};
use crate::model::Row;

/// What the table shows first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewKind {
    /// The flows with the most bytes.
    Talkers,
    /// The flows with the longest round trip.
    Slow,
    /// The flows that sent segments again, or lost some.
    Lossy,
    /// The flows with connections that could not be established.
    Failing,
    /// All connections.
    Connections,
}

// === impl ViewKind ===

impl ViewKind {
    /// All views, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Talkers, Self::Slow, Self::Lossy, Self::Failing, Self::Connections];

    /// Returns the name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Talkers => "talkers",
            Self::Slow => "slow",
            Self::Lossy => "lossy",
            Self::Failing => "failing",
            Self::Connections => "connections",
        }
    }

    /// Returns the position in [`Self::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// Returns the order, unless the user chooses another.
    pub fn sort(self) -> Sort {
        let by = match self {
            Self::Talkers | Self::Connections => Column::Bytes,
            Self::Slow => Column::Rtt,
            Self::Lossy => Column::Retransmits,
            Self::Failing => Column::Failed,
        };
        Sort { by, ascending: false }
    }

    /// Returns whether a row belongs to the view.
    pub fn belongs(self) -> fn(&Row) -> bool {
        match self {
            Self::Talkers | Self::Connections => |_| true,
            Self::Slow => |row| row.last.once.rtt.is_some(),
            Self::Lossy => |row| row.total.once.retransmits > 0 || row.total.once.lost > 0,
            Self::Failing => |row| row.total.once.failed > 0,
        }
    }

    /// Returns the columns in the order in which they are added while there is room. Some come twice.
    pub fn columns(self) -> impl Iterator<Item = Column> {
        use Column::{
            Age, Failed, In, LastEnd, Limit, Lost, MinRtt, Open, Opened, Out, Retransmits, Rtt, Service,
            Trend,
        };
        let first: &[Column] = match self {
            Self::Talkers => &[Out, In, Open, Rtt, Retransmits, Failed],
            Self::Slow => &[Rtt, MinRtt, Limit, Out, In, Trend],
            Self::Lossy => &[Retransmits, Lost, Out, In, Rtt, Open],
            Self::Failing => &[Failed, LastEnd, Opened, Open],
            Self::Connections => {
                &[Out, In, Rtt, Retransmits, Limit, Age, Trend, Lost, MinRtt, LastEnd, Service]
            }
        };
        let others = [Out, In, Retransmits, Rtt, Limit, Trend, Open, Opened, Failed, Lost];
        first.iter().copied().chain(others).chain([MinRtt, Age, Service, LastEnd])
    }

    /// Returns what an empty table says.
    pub fn when_empty(self) -> &'static str {
        match self {
            Self::Talkers | Self::Connections => "no TCP connections",
            Self::Slow => "no open connection has a round trip yet",
            Self::Lossy => "no segment was lost or sent again",
            Self::Failing => "no connection failed",
        }
    }
}
