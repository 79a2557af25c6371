//! One connection: counters of both ends, owners, a chart, and why it is slow.

use longwave_exporters::names::qualified;
use longwave_exporters::{fit, units};
use longwave_pipeline::component::visible::Visible;
use longwave_pipeline::model::{
    ConnectionRecord, Limit, Limits, OptionalCount, Rfc3339, Workload, share_of_data,
};
use ratatui::style::Style;

use super::canvas::{Canvas, wrap};
use super::{FOOTER, HEADER, Theme, cell, chart};
use crate::app::App;
use crate::model::{Flow, HISTORY, Side, explain, share_of_time};

/// Width of the labels, and of each end's values.
const LABEL: usize = 16;
const VALUE: usize = 30;
/// Room for the maximum beside a chart.
const MAX_WIDTH: usize = 13;
/// Height of a chart in lines: on a screen with room for all details, and on a smaller one.
const CHART_HEIGHTS: (usize, usize) = (3, 1);
/// Minimum height in lines of a screen with room for all details.
const HIGH: u16 = 56;

/// One line, as parts with their styles.
type Line = Vec<(String, Style)>;

pub(super) fn draw(app: &App, flow: &Flow, canvas: &mut Canvas<'_>, theme: Theme) {
    let height = if canvas.area.height >= HIGH { CHART_HEIGHTS.0 } else { CHART_HEIGHTS.1 };
    let lines = lines(flow, usize::from(canvas.area.width), height, theme);
    let top = HEADER - 2;
    let room = canvas.area.height - top - FOOTER;
    for y in top..canvas.area.height - FOOTER {
        canvas.fill(y, theme.plain());
    }
    let offset = app.detail_offset.min((lines.len() as u16).saturating_sub(room));
    for (y, line) in lines.iter().skip(usize::from(offset)).take(usize::from(room)).enumerate() {
        let mut x = 0;
        for (text, style) in line {
            x = canvas.put(x, top + y as u16, text, *style);
        }
    }
    let hidden = (lines.len() as u16).saturating_sub(room + offset);
    if hidden > 0 && app.prompt.is_none() {
        canvas.put(0, canvas.area.height - FOOTER, &format!("{hidden} more lines: ↓"), theme.dim());
    }
}

/// Returns what identifies the connection, what slows it down, charts and counters. A reason is several lines long on a narrow screen, so
/// that it stands below what identifies the connection.
fn lines(flow: &Flow, width: usize, chart_height: usize, theme: Theme) -> Vec<Line> {
    let names = &flow.row.names;
    let ends: Vec<(Side, &ConnectionRecord)> = flow.ends().map(|(side, end)| (side, &end.record)).collect();
    let mut lines = vec![vec![(format!("{} → {}", names.source, names.destination), theme.bold())]];
    lines.extend(fields(flow, &ends, &IDENTITY, theme));
    if let [(_, record)] = ends.as_slice() {
        lines.push(vec![(fit::pad("peer", LABEL, false), theme.dim()), (peer(record), theme.plain())]);
    }
    lines.push(Vec::new());
    lines.extend(reasons(flow, width, theme));
    lines.push(Vec::new());
    lines.extend(charts(flow, width, chart_height, theme));
    lines.extend(fields(flow, &ends, &FIELDS, theme));
    lines
}

/// Returns what slows the connection down, as far as the counters show it.
fn reasons(flow: &Flow, width: usize, theme: Theme) -> Vec<Line> {
    let reasons = explain(flow);
    if reasons.is_empty() {
        let text = match share_of_time(&flow.row.last.once.limits) {
            Some((Limit::App, time)) => {
                format!("Only the application slows it down: it had nothing to send for {time}.")
            }
            _ => "The counters show nothing that slows the connection down.".to_owned(),
        };
        return vec![vec![(text, theme.dim())]];
    }
    let mut lines = Vec::new();
    for reason in reasons {
        let indented = wrap(&reason, width.saturating_sub(2));
        for (index, text) in indented.into_iter().enumerate() {
            let mark = if index == 0 { "▲ " } else { "  " };
            lines.push(vec![(format!("{mark}{text}"), theme.lossy())]);
        }
    }
    lines
}

/// Returns a line for each field, below a line that names the ends.
fn fields(flow: &Flow, ends: &[(Side, &ConnectionRecord)], fields: &[Field], theme: Theme) -> Vec<Line> {
    let head = ends.iter().map(|(side, _)| fit::pad(&format!("{} (here)", side.as_str()), VALUE, false));
    let mut lines = vec![vec![(" ".repeat(LABEL) + &head.collect::<String>(), theme.bold())]];
    for (label, value) in fields {
        let values: Vec<String> = ends.iter().map(|(side, record)| value(flow, *side, record)).collect();
        if values.iter().all(String::is_empty) {
            continue;
        }
        let cells = values.iter().map(|value| fit::pad(&fit::cut_middle(value, VALUE - 2), VALUE, false));
        lines.push(vec![
            (fit::pad(label, LABEL, false), theme.dim()),
            (cells.collect::<String>().trim_end().to_owned(), theme.plain()),
        ]);
    }
    lines
}

/// A label, and the text of a socket.
type Field = (&'static str, fn(&Flow, Side, &ConnectionRecord) -> String);

/// Lines that identify a socket. A line is left out if its text is empty for all ends.
const IDENTITY: [Field; 4] = [
    ("address", |_, _, record| record.local.to_string()),
    ("workload", |_, _, record| workload(record.names.local.as_deref())),
    ("pod, node", |_, _, record| {
        record.names.local.as_deref().map_or_else(String::new, |workload| {
            [&*workload.pod, &*workload.node]
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join(" on ")
        })
    }),
    ("process", |_, _, record| match (record.owner.executable(), record.owner.pid) {
        (Some(name), 0) => Visible(&name).to_string(),
        (Some(name), pid) => format!("{} (pid {pid})", Visible(&name)),
        (None, 0) => "unknown".to_owned(),
        (None, pid) => format!("pid {pid}"),
    }),
];

/// Lines about the traffic of a socket, left out as above.
const FIELDS: [Field; 32] = [
    ("owner found by", |_, _, record| record.owner.source.as_str().to_owned()),
    ("service", |_, _, record| {
        let service = record.names.service.as_deref();
        service.and_then(|service| qualified(&service.name, &service.namespace)).unwrap_or_default()
    }),
    ("state", |_, _, record| {
        record
            .end
            .map_or_else(|| record.state.as_str().to_owned(), |end| format!("closed: {}", cell::end(end)))
    }),
    ("opened", |_, _, record| {
        if record.start_known {
            short(&Rfc3339(record.opened).to_string())
        } else {
            "before Longwave started".to_owned()
        }
    }),
    ("age", |flow, _, _| flow.row.age.map_or_else(String::new, cell::age)),
    ("connected in", |_, _, record| nanos(record.connect_duration)),
    ("sent", |_, _, record| bytes(record.totals.sent_bytes)),
    ("received", |_, _, record| bytes(record.totals.received_bytes)),
    ("segments", |_, _, record| {
        format!("{} sent, {} received", record.totals.sent_segments, record.totals.received_segments)
    }),
    ("sent again", |_, _, record| {
        let (again, data) = (record.totals.retransmits, record.totals.data_segments);
        let share = share_of_data(again, data).filter(|share| *share > 0.0);
        let share = share.map_or_else(String::new, |share| format!(" ({})", cell::percent(share)));
        format!("{again} of {data}{share}")
    }),
    ("lost", |_, _, record| record.totals.lost.to_string()),
    ("timeouts", |_, _, record| count(total(record).timeouts)),
    ("duplicate SACKs", |_, _, record| count(total(record).duplicate_sacks)),
    ("out of order", |_, _, record| count(total(record).out_of_order)),
    ("ECN marks", |_, _, record| count(total(record).delivered_ce)),
    ("busy", |_, _, record| micros(total(record).busy)),
    ("peer window", |_, _, record| {
        let now = if record.limits.details().zero_window { "full now" } else { "" };
        let before = full_for(total(record).peer_window);
        [before.as_str(), now].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
    }),
    ("send buffer", |_, _, record| full_for(total(record).send_buffer)),
    ("last interval", |flow, side, _| {
        let last = flow.row.last.of(Some(side));
        format!("→ {}, ← {}, {} again", units::bytes(last.towards), units::bytes(last.back), last.retransmits)
    }),
    ("limit", |flow, side, _| {
        share_of_time(&flow.row.last.of(Some(side)).limits)
            .map_or_else(String::new, |(limit, time)| format!("{}, {time}", limit.as_str()))
    }),
    ("round trip", |_, _, record| nanos(record.round_trip.smoothed)),
    ("deviation", |_, _, record| nanos(record.round_trip.variance)),
    ("minimum", |_, _, record| nanos(record.round_trip.minimum)),
    ("receiver's RTT", |_, _, record| nanos(record.round_trip.receiver)),
    ("in flight", |_, _, record| bytes(record.gauges.in_flight_bytes)),
    ("cwnd, MSS", |_, _, record| format!("{} × {}", record.gauges.cwnd, record.gauges.mss)),
    ("ssthresh", |_, _, record| {
        record.limits.details().ssthresh.map_or_else(String::new, |segments| format!("{segments} segments"))
    }),
    ("unsent, unread", |_, _, record| {
        format!("{}, {}", units::bytes(record.gauges.unsent_bytes), units::bytes(record.gauges.unread_bytes))
    }),
    ("delivery rate", |_, _, record| match record.gauges.delivery_rate {
        0 => String::new(),
        rate => format!("{}B/s", units::rate(rate as f64)),
    }),
    ("pacing rate", |flow, side, _| {
        flow.end(side)
            .and_then(|end| end.pacing_rate)
            .map_or_else(String::new, |rate| format!("{}B/s", units::rate(rate.get() as f64)))
    }),
    ("cong. control", |_, _, record| {
        record.limits.details().congestion_control().unwrap_or_default().to_owned()
    }),
    ("id", |_, _, record| record.id.to_string()),
];

/// Returns what has limited the connection since its open.
fn total(record: &ConnectionRecord) -> Limits {
    record.limits.details().total
}

/// Returns a count that is not 0.
fn count(count: OptionalCount) -> String {
    count.get().filter(|count| *count > 0).map_or_else(String::new, |count| count.to_string())
}

/// Returns a time in microseconds that is not 0.
fn micros(time: OptionalCount) -> String {
    let micros = time.get().filter(|micros| *micros > 0);
    micros.map_or_else(String::new, |micros| units::seconds(micros as f64 / 1e6))
}

/// Returns `full for` and a time in microseconds that is not 0.
fn full_for(time: OptionalCount) -> String {
    let time = micros(time);
    if time.is_empty() { time } else { format!("full for {time}") }
}

fn charts(flow: &Flow, width: usize, height: usize, theme: Theme) -> Vec<Line> {
    let cells = width.saturating_sub(LABEL + MAX_WIDTH).min(HISTORY);
    let points: Vec<_> = flow.row.history.last(cells).copied().collect();
    let rates: Vec<Option<f32>> = points.iter().map(|point| Some(point.bytes_per_second)).collect();
    let trips: Vec<Option<f32>> = points.iter().map(|point| point.rtt).collect();
    let max = |values: &[Option<f32>], text: fn(f64) -> String| {
        let max = values.iter().flatten().copied().reduce(f32::max);
        max.map_or_else(|| cell::NONE.to_owned(), |max| text(max.into()))
    };
    let both =
        [("bytes/s", max(&rates, units::rate), rates), ("round trip", max(&trips, units::seconds), trips)];
    let mut lines = Vec::new();
    for (label, max, values) in both {
        for (index, bars) in chart::bars(&values, cells, height).into_iter().enumerate() {
            let (label, max) = if index == 0 { (label, format!(" max {max}")) } else { ("", String::new()) };
            let label = fit::pad(label, LABEL, false);
            lines.push(vec![(label, theme.dim()), (bars, theme.plain()), (max, theme.dim())]);
        }
    }
    lines.push(Vec::new());
    lines
}

fn workload(workload: Option<&Workload>) -> String {
    named(workload).unwrap_or_else(|| "unknown".to_owned())
}

/// Returns name and kind of a workload. `None` if the name is unknown.
fn named(workload: Option<&Workload>) -> Option<String> {
    let workload = workload?;
    let name = qualified(&workload.name, &workload.namespace)?;
    Some(format!("{name} ({})", Visible(&workload.kind)))
}

/// Returns the address of the other end, and its workload if that is known.
fn peer(record: &ConnectionRecord) -> String {
    let address = record.peer.to_string();
    match named(record.names.peer.as_deref()) {
        Some(workload) => format!("{address}, {workload}"),
        None => address,
    }
}

fn bytes(count: u64) -> String {
    if count < 1_000 { format!("{count} B") } else { format!("{} ({count} B)", units::bytes(count)) }
}

fn nanos(nanos: Option<std::num::NonZeroU64>) -> String {
    nanos.map_or_else(String::new, |nanos| units::seconds(nanos.get() as f64 / 1e9))
}

/// Returns date and time without the fraction.
fn short(time: &str) -> String {
    time.get(..19).unwrap_or(time).replace('T', " ")
}
