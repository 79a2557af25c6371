//! The table of flows.

use maud::{Markup, html};

use super::{View, per_second, trouble};
use crate::flows::Flow;
use crate::units;

use super::super::query::Sort;

/// Maximum number of rows, unless the request is for all.
const MAX_ROWS: usize = 200;

/// Columns after the names, with their explanations.
const COLUMNS: [(Sort, &str, &str); 9] = [
    (Sort::Towards, "→ B/s", "Bytes a second from client to server"),
    (Sort::Back, "← B/s", "Bytes a second from server to client"),
    (
        Sort::Retransmits,
        "Retransmits",
        "Segments that were sent again, and their share of the segments with data",
    ),
    (Sort::Lost, "Lost", "Segments that the kernel marked as lost"),
    (Sort::Rtt, "Round trip", "Mean smoothed round trip in this window"),
    (Sort::Open, "Open", "Connections that are open at the end of the window"),
    (Sort::Opened, "Opened", "Connections that were established"),
    (Sort::Closed, "Closed", "Connections that were closed"),
    (Sort::Failed, "Failed", "Connections that were never established, with the most frequent reason"),
];

pub(super) fn render(view: &View) -> Markup {
    let shown = if view.query.all { view.flows.len() } else { view.flows.len().min(MAX_ROWS) };
    let (shown, hidden) = view.flows.split_at(shown);
    html! {
        div.scroll {
            table {
                thead {
                    tr {
                        (heading(view, Sort::Source, "Source", "The client’s workload"))
                        (heading(view, Sort::Destination, "Destination", "The server’s workload, and the service that the client connected to"))
                        th { abbr title="Which ends of the flow are on this host" { "Here" } }
                        @for (sort, name, meaning) in COLUMNS { (heading(view, sort, name, meaning)) }
                    }
                }
                tbody {
                    @for flow in shown { (row(view, flow)) }
                    @if shown.is_empty() { tr { td.empty colspan="12" { "No name contains “" (view.query.search) "”." } } }
                    @if !hidden.is_empty() { (more(view, hidden)) }
                }
            }
        }
    }
}

fn heading(view: &View, sort: Sort, name: &str, meaning: &str) -> Markup {
    let is_sorted = view.query.sort == sort;
    let order = if matches!(sort, Sort::Source | Sort::Destination) { "ascending" } else { "descending" };
    html! {
        th aria-sort=[is_sorted.then_some(order)] {
            a href=(view.query.with_sort(if is_sorted { Sort::default() } else { sort }).url()) title=(meaning) { (name) }
        }
    }
}

fn row(view: &View, flow: &Flow) -> Markup {
    html! {
        tr class=[trouble(flow)] {
            td.name { a href=(view.link(flow)) { (flow.source) } }
            td.name { a href=(view.link(flow)) { (flow.destination) } @if !flow.service.is_empty() { " " span.service { (flow.service) } } }
            td.here { (flow.side.as_str()) }
            (numbers(flow))
        }
    }
}

/// Renders the cells of [`COLUMNS`].
fn numbers(flow: &Flow) -> Markup {
    let or_dash =
        |number: u64, text: String| html! { data value=(number) { @if number > 0 { (text) } @else { "-" } } };
    let count = |number: u64| or_dash(number, units::count(number));
    html! {
        td { (or_dash(flow.towards, per_second(flow.towards, flow.seconds))) }
        td { (or_dash(flow.back, per_second(flow.back, flow.seconds))) }
        td {
            (count(flow.retransmits))
            @if let Some(ratio) = flow.retransmit_ratio() && flow.retransmits > 0 { span.ratio { " " (percent(ratio)) } }
        }
        td { (count(flow.lost)) }
        td { @if let Some(seconds) = flow.round_trip() { data value=(seconds) { (units::seconds(seconds)) } } @else { "-" } }
        td { (count(flow.active)) }
        td { (count(flow.opened)) }
        td { (count(flow.closed)) }
        td {
            (count(flow.failed))
            @if flow.failed > 0 && let Some(reason) = &flow.failure { span.reason { " " (reason) } }
        }
    }
}

/// Renders the sum of the rows that are not shown.
fn more(view: &View, hidden: &[&Flow]) -> Markup {
    let sum = Flow::sum(hidden.iter().copied(), String::new());
    html! {
        tr class={ "more " (trouble(&sum).unwrap_or_default()) } {
            td.name colspan="3" { a href=(view.query.with_all().url()) { "… and " (hidden.len()) " more" } }
            (numbers(&sum))
        }
    }
}

/// Formats a share of 1: `0.34 %`.
fn percent(ratio: f64) -> String {
    let digits = if ratio < 0.0995 { 2 } else { 1 };
    format!("{:.digits$} %", ratio * 100.0)
}
