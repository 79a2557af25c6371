//! Renders the page. Numbers that are rounded for people are exact in the attribute `value` of their `<data>`.

mod chart;
mod detail;
mod map;
mod table;

use longwave_pipeline::model::{Level, Rfc3339, Window};
use maud::{DOCTYPE, Markup, html};

use super::query::{FlowId, Query, Sort};
use super::state::PageState;
use super::window::{LevelFlows, PageWindow};
use crate::flows::Flow;
use crate::units;

/// Seconds after which a browser without scripts loads the page again.
const RELOAD_AFTER: u8 = 5;

/// The flows of the level that is shown, and the parameters of the request.
struct View<'a> {
    query: &'a Query,
    level: Level,
    /// In the order of the table.
    flows: Vec<&'a Flow>,
    /// The sum of all flows of the level, also of those that the search does not find.
    total: &'a Flow,
}

/// Renders the whole document.
pub(super) fn document(state: &PageState, query: &Query) -> String {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Longwave" @if !state.host().is_empty() { " · " (state.host()) } }
                link rel="stylesheet" href="/page.css";
                noscript { meta http-equiv="refresh" content=(RELOAD_AFTER); }
                script src="/page.js" defer {}
            }
            body {
                header {
                    h1 { a href="/" { "Longwave" } }
                    span.host { (state.host()) }
                    form method="get" action="/" {
                        @if let Some(level) = query.level { input type="hidden" name="level" value=(level.as_str()); }
                        @if query.sort != Sort::default() { input type="hidden" name="sort" value=(query.sort.as_str()); }
                        input type="search" name="search" value=(query.search) placeholder="Name contains…" aria-label="Name contains";
                    }
                    span #status role="status" {}
                    button #pause type="button" hidden { "Pause" }
                }
                main { (content_of(state, query)) }
            }
        }
    };
    document.into_string()
}

/// Renders the content of `<main>`.
pub(super) fn content(state: &PageState, query: &Query) -> String {
    content_of(state, query).into_string()
}

fn content_of(state: &PageState, query: &Query) -> Markup {
    let Some(window) = state.latest() else {
        return html! { p.empty { "Waiting for the first window. It is complete at the end of the current interval." } };
    };
    let levels = window.levels();
    let preferred = [Level::Workload, Level::Service, Level::Connection];
    let level = query.level.or_else(|| preferred.into_iter().find(|level| levels.contains(level)));
    let level = level.unwrap_or(Level::Workload);
    if let Some(id) = query.flow {
        return detail::render(state, &window.window, query, level, id);
    }
    let view = View::new(state, &window, query, level);
    html! {
        (when(&window.window))
        (cards(&view))
        (tabs(query, level, &levels))
        @if view.total.seconds == 0.0 {
            p.empty { "No TCP connections in this window, or a filter drops them." }
        } @else {
            div.overview {
                @if level != Level::Connection { (map::render(&view)) }
                (chart::of_samples(&state.history().of_level(level)))
            }
            (table::render(&view))
        }
    }
}

fn when(window: &Window) -> Markup {
    let time = |at| {
        let text = Rfc3339(at).to_string();
        let shown = text.get(..19).unwrap_or(&text).replace('T', " ");
        html! { time datetime=(text) { (shown) } }
    };
    html! {
        p.when {
            (time(window.start)) " to " (time(window.end)) " UTC ("
            (units::span(window.end.since(window.start).as_secs_f64())) ")"
        }
    }
}

/// Renders the sums of the level.
fn cards(view: &View) -> Markup {
    let total = view.total;
    let count = |what: &str, number: u64, class: &str, sort: Sort| {
        html! {
            a class={ "card " @if number > 0 { (class) } } href=(view.query.with_sort(sort).url()) {
                b { data value=(number) { (units::count(number)) } } " " (what)
            }
        }
    };
    let rate = |what: &str, bytes: u64, sort| {
        html! {
            a.card href=(view.query.with_sort(sort).url()) {
                b { data value=(bytes) { (per_second(bytes, total.seconds)) } } " " (what)
            }
        }
    };
    html! {
        div.cards {
            (rate("client → server", total.towards, Sort::Towards))
            (rate("server → client", total.back, Sort::Back))
            (count("open", total.active, "", Sort::Open))
            (count("opened", total.opened, "", Sort::Opened))
            (count("closed", total.closed, "", Sort::Closed))
            (count("failed", total.failed, "bad", Sort::Failed))
            (count("retransmits", total.retransmits, "warn", Sort::Retransmits))
            (count("lost", total.lost, "warn", Sort::Lost))
        }
    }
}

fn tabs(query: &Query, shown: Level, levels: &[Level]) -> Markup {
    let name = |level| match level {
        Level::Service => "Services",
        Level::Workload => "Workloads",
        Level::Connection => "Connections",
    };
    html! {
        nav {
            @for level in levels {
                a href=(query.with_level(*level).url()) aria-current=[(*level == shown).then_some("page")] { (name(*level)) }
            }
        }
    }
}

/// Returns a rate with its unit.
fn per_second(bytes: u64, seconds: f64) -> String {
    let rate = if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 };
    format!("{}B/s", units::rate(rate))
}

// === impl View ===

impl<'a> View<'a> {
    fn new(state: &PageState, window: &'a PageWindow, query: &'a Query, level: Level) -> Self {
        let LevelFlows { all, total } = window.flows(level);
        let is_found = query.finder();
        let mut flows: Vec<&Flow> = all.iter().filter(|flow| is_found(flow)).collect();
        let history = state.history();
        query.sort.sort(&mut flows, |flow| history.rank(FlowId::of(level, flow)));
        Self { query, level, flows, total }
    }

    fn link(&self, flow: &Flow) -> String {
        let id = FlowId::of(self.level, flow);
        Query { level: Some(self.level), ..self.query.with_flow(Some(id)) }.url()
    }
}

/// Returns the class of a flow with failures or losses.
fn trouble(flow: &Flow) -> Option<&'static str> {
    match flow {
        _ if flow.failed > 0 => Some("bad"),
        _ if flow.is_lossy() => Some("warn"),
        _ => None,
    }
}
