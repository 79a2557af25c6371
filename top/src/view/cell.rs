//! The text of each cell of a table.

use longwave_exporters::units;
use longwave_pipeline::model::{End, FailReason, Limit};

use super::chart;
use crate::app::{App, Column};
use crate::model::{Age, Row, Side};

/// Shown for a number that is zero or unknown, so that other numbers stand out.
pub(super) const NONE: &str = "-";

/// Returns the text of a column. `side` is the end that the line is about, if it is about one.
pub(super) fn text(app: &App, row: &Row, side: Option<Side>, column: Column) -> String {
    let (last, total) = (row.last.of(side), row.total.of(side));
    let measures = if app.totals { total } else { last };
    let seconds = app.model().interval().as_secs_f64();
    let traffic = |bytes: u64| match bytes {
        0 => NONE.to_owned(),
        bytes if app.totals => units::bytes(bytes),
        bytes => units::rate(bytes as f64 / seconds),
    };
    let time = |nanos: Option<std::num::NonZeroU64>| {
        nanos.map_or_else(|| NONE.to_owned(), |nanos| units::seconds(nanos.get() as f64 / 1e9))
    };
    match column {
        Column::Service => row.names.service.to_string(),
        Column::Here => side.map_or("", Side::as_str).to_owned(),
        Column::Bytes => traffic(measures.bytes()),
        Column::Out => traffic(measures.towards),
        Column::In => traffic(measures.back),
        Column::Retransmits => match measures.retransmit_ratio() {
            Some(ratio) if measures.retransmits > 0 => percent(ratio),
            _ => NONE.to_owned(),
        },
        Column::Lost => count(measures.lost),
        Column::Limit => measures.limits.dominant().map_or(NONE, Limit::as_str).to_owned(),
        Column::Rtt => time(last.rtt),
        Column::MinRtt => time(total.min_rtt),
        Column::Trend => {
            let cells = usize::from(Column::Trend.width());
            chart::spark(row.history.last(cells).map(|point| point.rtt), cells)
        }
        Column::Open => count(last.open),
        Column::Opened => count(measures.opened),
        Column::Failed => count(measures.failed),
        Column::Age => row.age.map_or_else(|| NONE.to_owned(), age),
        Column::LastEnd => row.last_end.map_or_else(String::new, |last| match last.end {
            End::Closed(_) if !last.is_abnormal() => end(last.end),
            _ => format!("{} {}", end(last.end), last.server),
        }),
    }
}

/// Returns a share as a percentage that is not zero.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent < 0.1 => "<0.1%".to_owned(),
        percent if percent < 99.95 => format!("{percent:.1}%"),
        _ => "100%".to_owned(),
    }
}

pub(super) fn age(age: Age) -> String {
    let older = if age.is_minimum { ">" } else { "" };
    format!("{older}{}", units::span(age.since.as_secs_f64().max(0.001).round().max(1.0)))
}

/// Returns how a connection stopped, in words.
pub(super) fn end(end: End) -> String {
    match end {
        End::Closed(reason) => reason.as_str().replace('_', " "),
        End::Failed(FailReason::Unreachable) => "no route".to_owned(),
        End::Failed(FailReason::AddressUnavailable) => "no free port".to_owned(),
        End::Failed(reason) => reason.to_string(),
    }
}

fn count(count: u64) -> String {
    if count == 0 { NONE.to_owned() } else { units::count(count) }
}
