//! The lines above the table: source and time, totals, failures and losses, views, level and order.

use longwave_exporters::{fit, units};
use longwave_pipeline::model::Level;

use super::canvas::Canvas;
use super::{Theme, chart, clock};
use crate::app::{App, Origin, ViewKind};
use crate::model::Row;

/// Seconds by which an interval may be late before the header says so.
const PATIENCE: f64 = 3.0;

pub(super) fn draw(app: &App, canvas: &mut Canvas<'_>, theme: Theme) {
    source(app, canvas, theme);
    totals(app, canvas, theme);
    troubles(app, canvas, theme);
    views(app, canvas, theme);
    level(app, canvas, theme);
}

fn source(app: &App, canvas: &mut Canvas<'_>, theme: Theme) {
    let x = canvas.put(0, 0, "longwave top", theme.bold());
    let source = match &app.origin {
        Origin::Live(name) => name.clone(),
        Origin::Recording { name, first, last, fault } => {
            let fault = if fault.is_some() { " (incomplete)" } else { "" };
            format!("{name}, {} – {}{fault}", clock(*first), clock(*last))
        }
    };
    let silence = app.silence.as_secs_f64();
    let waits = !app.is_recording() && silence > app.model().interval().as_secs_f64() + PATIENCE;
    let (state, style) = match app.model().tick() {
        _ if app.is_frozen() => (" FROZEN ".to_owned(), theme.reversed()),
        _ if waits => (format!(" no data for {silence:.0}s "), theme.lossy()),
        _ if app.is_recording() && app.plays => (" playing ".to_owned(), theme.reversed()),
        _ => (String::new(), theme.plain()),
    };
    let time = app.model().tick().map_or_else(
        || "waiting for the first interval".to_owned(),
        |tick| format!("{} UTC ({})", clock(tick), units::span(app.model().interval().as_secs_f64())),
    );
    let taken = usize::from(x) + fit::width(&time) + fit::width(&state) + 4;
    let room = usize::from(canvas.area.width).saturating_sub(taken);
    canvas.put(x, 0, &format!("  {}", fit::cut_middle(&source, room)), theme.dim());
    canvas.put_right(0, &format!("{time}{state}"), theme.plain());
    if !state.is_empty() {
        canvas.put_right(0, &state, style);
    }
}

fn totals(app: &App, canvas: &mut Canvas<'_>, theme: Theme) {
    let model = app.model();
    let all = model.all();
    let (measures, seconds) = (&all.last.once, model.interval().as_secs_f64());
    let mut text = format!("{} open", units::count(measures.open));
    if app.totals {
        let total = &all.total.once;
        let since = model.since().map(clock).unwrap_or_default();
        text += &format!(
            "   {} opened, {} closed   → {}   ← {}   since {since}",
            units::count(total.opened),
            units::count(total.closed),
            units::bytes(total.towards),
            units::bytes(total.back)
        );
    } else {
        text += &format!(
            "   {} opened, {} closed   → {}B/s   ← {}B/s",
            units::count(measures.opened),
            units::count(measures.closed),
            units::rate(measures.towards as f64 / seconds),
            units::rate(measures.back as f64 / seconds)
        );
    }
    let x = canvas.put(0, 1, &text, theme.plain());
    let cells = usize::from(canvas.area.width.saturating_sub(x + 3)).min(crate::model::HISTORY);
    if cells >= 8 {
        let rates = all.history.last(cells).map(|point| Some(point.bytes_per_second));
        canvas.put_right(1, &chart::spark(rates, cells), theme.dim());
    }
}

/// Names the worst flows with failures and with losses, whatever view is shown.
fn troubles(app: &App, canvas: &mut Canvas<'_>, theme: Theme) {
    let all = app.model().all();
    let (last, total) = (&all.last.once, &all.total.once);
    let flows = || app.model().rows(Level::Workload);
    let failing: Vec<&Row> = flows().filter(|row| row.last.once.failed > 0).collect();
    let lossy: Vec<&Row> = flows().filter(|row| row.last.once.is_lossy()).collect();
    let width = canvas.area.width;
    if failing.is_empty() && lossy.is_empty() {
        let mut text = "no failures, no lossy flow in this interval".to_owned();
        for (count, what) in [(total.failed, "failed"), (total.retransmits, "segments sent again")] {
            if count > 0 {
                text += &format!(", {} {what} before", units::count(count));
            }
        }
        canvas.put(0, 2, &text, theme.dim());
        return;
    }
    let mut x = 0;
    if let Some(worst) = failing.iter().max_by_key(|row| row.last.once.failed) {
        let why = worst.last_end.map(|end| format!(" {}", super::cell::end(end.end))).unwrap_or_default();
        let text =
            format!("✖ {} failed: {}{why}{}", units::count(last.failed), flow(worst), more(failing.len()));
        let room = if lossy.is_empty() { width } else { width.saturating_mul(3) / 5 };
        x = canvas.put(0, 2, &fit::cut_end(&text, usize::from(room)), theme.failing()) + 2;
    }
    let share = |row: &&&Row| row.last.once.retransmit_ratio().unwrap_or_default();
    if let Some(worst) = lossy.iter().max_by(|one, other| share(one).total_cmp(&share(other))) {
        let percent = share(&worst) * 100.0;
        let text = format!("▲ {percent:.1}% sent again: {}{}", flow(worst), more(lossy.len()));
        canvas.put(x, 2, &text, theme.lossy());
    }
}

fn flow(row: &Row) -> String {
    if row.names.destination.is_empty() {
        row.names.source.to_string()
    } else {
        format!("{} → {}", row.names.source, row.names.destination)
    }
}

fn more(flows: usize) -> String {
    if flows > 1 { format!(" +{} flows", flows - 1) } else { String::new() }
}

fn views(app: &App, canvas: &mut Canvas<'_>, theme: Theme) {
    let mut x = 0;
    for (index, kind) in ViewKind::ALL.into_iter().enumerate() {
        let mut text = format!(" {} {}", index + 1, kind.as_str());
        let marked = matches!(kind, ViewKind::Lossy | ViewKind::Failing);
        let count = if marked { app.members(kind).count() } else { 0 };
        if count > 0 {
            text += &format!(" ({count})");
        }
        text.push(' ');
        let style = match kind {
            _ if kind == app.kind() => theme.reversed(),
            ViewKind::Failing if count > 0 => theme.failing(),
            ViewKind::Lossy if count > 0 => theme.lossy(),
            _ => theme.plain(),
        };
        x = canvas.put(x, 3, &text, style) + 1;
    }
}

fn level(app: &App, canvas: &mut Canvas<'_>, theme: Theme) {
    let view = app.view();
    let level = match view.level {
        Level::Service => "services",
        Level::Workload => "workloads",
        Level::Connection => "connections",
    };
    let mut text = level.to_owned();
    if let Some((_, name)) = &view.scope {
        text += &format!(" of {} → {}", name.source, name.destination);
    }
    let mut order =
        format!("by {} {}", view.sort.by.head(app.totals), if view.sort.ascending { "↑" } else { "↓" });
    if app.sorts_always {
        order += ", always";
    }
    order += if app.totals { "; totals" } else { "; rates" };
    if let Some(filter) = app.model().filter() {
        order += &format!("; filter: {filter}");
    }
    let room = usize::from(canvas.area.width).saturating_sub(3);
    let text = fit::cut_middle(&text, room / 2);
    let x = canvas.put(0, 4, &text, theme.bold());
    canvas.put(x + 3, 4, &order, theme.dim());
}
