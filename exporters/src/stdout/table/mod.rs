//! The table of a window: one row for each flow, the busiest first, and always those with failures or losses.

mod layout;
mod legend;
mod scores;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;

use longwave_pipeline::model::{Level, Rfc3339, Window};

use super::config::TableConfig;
use super::screen::View;
use crate::flows::{Flow, Flows};
use crate::{fit, units};
use layout::Layout;
use scores::Scores;

/// Lines of a screen that are not rows: title, heading, "more", total, an empty line, and the cursor's.
const OTHER_LINES: usize = 6;
/// Minimum number of rows, on a screen of any height.
const MIN_ROWS: usize = 3;
/// At most one row of this many is taken for a flow with failures or losses that is not busy enough to be shown otherwise.
const TROUBLED_FRACTION: usize = 3;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

/// Draws tables. Keeps columns and order, so that successive tables look alike.
#[derive(Default)]
pub(super) struct Table {
    config: TableConfig,
    layout: Option<Layout>,
    scores: Scores,
    has_drawn: bool,
}

// === impl Table ===

impl Table {
    pub(super) fn new(config: TableConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// Returns the table as text for the terminal. Tables follow each other, so that the user can scroll back to earlier ones.
    pub(super) fn draw(&mut self, window: &Window, view: &View) -> String {
        let mut flows = Flows::of_window(window, self.config.both_ends);
        let mut page = Page { text: String::new(), view };
        let is_first = !std::mem::replace(&mut self.has_drawn, true);
        if is_first && self.config.legend {
            legend::lines().for_each(|line| page.line(DIM, line));
            page.line("", "");
        }
        let total = flows.total();
        page.line(BOLD, &title(window, &flows, &total, view.columns));
        if flows.all.is_empty() {
            page.line(DIM, "no TCP connections in this window, or a filter drops them");
            page.line("", "");
            return page.text;
        }
        self.scores.sort(&mut flows.all);
        let room = view.rows.map_or(flows.all.len(), |lines| lines.saturating_sub(OTHER_LINES).max(MIN_ROWS));
        let (visible, hidden) = choose_rows(&flows.all, room);
        let layout = Layout::choose(&visible, &total, flows.level, view.columns, self.layout.as_ref());
        page.line(DIM, &layout.head());
        for row in visible {
            page.line(style(row), &layout.line(row));
        }
        if !hidden.is_empty() {
            page.line(DIM, &more(&hidden));
        }
        if flows.all.len() > 1 {
            page.line(BOLD, &layout.line(&total));
        }
        if is_first {
            page.line(DIM, FIRST);
        }
        page.line("", "");
        self.layout = Some(layout);
        page.text
    }
}

/// Explains the first table.
const FIRST: &str = "first table: older connections are counted from the start of Longwave";

/// Divides the rows, which are sorted, into those that are shown and the others. Flows with failures or losses, the worst first, take the place
/// of the last ones that would be shown.
fn choose_rows(rows: &[Flow], room: usize) -> (Vec<&Flow>, Vec<&Flow>) {
    let room = room.min(rows.len());
    let is_troubled = |index: &usize| rows[*index].is_troubled();
    let mut troubled: Vec<usize> = (room..rows.len()).filter(is_troubled).collect();
    troubled.sort_by_key(|index| Reverse((rows[*index].failed, rows[*index].retransmits)));
    let replaceable = (0..room).rev().filter(|index| !is_troubled(index));
    let mut is_visible: Vec<bool> = (0..rows.len()).map(|index| index < room).collect();
    for (shown, replaced) in troubled.into_iter().zip(replaceable).take(room / TROUBLED_FRACTION) {
        (is_visible[shown], is_visible[replaced]) = (true, false);
    }
    let chosen = |wanted| rows.iter().zip(&is_visible).filter(move |(_, is_visible)| **is_visible == wanted);
    (chosen(true).map(|(row, _)| row).collect(), chosen(false).map(|(row, _)| row).collect())
}

fn style(row: &Flow) -> &'static str {
    match row {
        _ if row.failed > 0 => RED,
        _ if row.is_lossy() => YELLOW,
        _ if row.is_idle() => DIM,
        _ => "",
    }
}

/// Returns the window's time and length, and totals, also those for which a narrow screen has no column.
fn title(window: &Window, flows: &Flows, total: &Flow, columns: usize) -> String {
    let (start, end) = (Rfc3339(window.start).to_string(), Rfc3339(window.end).to_string());
    let clock = |time: &str| time.get(11..19).unwrap_or_default().to_owned();
    let day = start.get(..10).unwrap_or_default();
    let length = units::span(window.end.since(window.start).as_secs_f64());
    let mut title = format!("{day} {} – {} UTC ({length})", clock(&start), clock(&end));
    if flows.all.is_empty() {
        return title;
    }
    let what = if flows.level == Some(Level::Connection) { "connection" } else { "flow" };
    title += &format!(", {} {what}{}", flows.all.len(), plural(flows.all.len() as u64));
    let counts = [
        (total.active, "open"),
        (total.failed, "failed"),
        (total.retransmits, "retransmits"),
        (total.opened, "opened"),
        (total.closed, "closed"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        let part = format!(", {} {what}", units::count(count));
        if fit::width(&title) + fit::width(&part) <= columns {
            title += &part;
        }
    }
    title
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Sums up the rows that are not shown.
fn more(hidden: &[&Flow]) -> String {
    let total = Flow::sum(hidden.iter().copied(), String::new());
    let (towards, back) = (units::bytes(total.towards), units::bytes(total.back));
    let mut text =
        format!("… and {} more: → {towards}, ← {back}, {} open", hidden.len(), units::count(total.active));
    for (count, what) in [(total.failed, "failed"), (total.retransmits, "retransmits"), (total.lost, "lost")]
    {
        if count > 0 {
            text += &format!(", {} {what}", units::count(count));
        }
    }
    text
}

/// Writes lines, cut to the screen's width.
struct Page<'a> {
    text: String,
    view: &'a View,
}

impl Page<'_> {
    fn line(&mut self, style: &str, line: &str) {
        let line = fit::cut_end(line.trim_end(), self.view.columns);
        if self.view.styled && !style.is_empty() && !line.is_empty() {
            self.text += style;
            self.text += &line;
            self.text += PLAIN;
        } else {
            self.text += &line;
        }
        self.text.push('\n');
    }
}
