//! The table of a window: one row for each flow, the busiest first.

mod fit;
mod layout;
mod rows;

#[cfg(test)]
mod tests;

use longwave_pipeline::model::{Level, Rfc3339, Window};

use super::screen::View;
use crate::units;
use layout::Layout;
use rows::{Row, Rows};

/// Lines of a screen that are not rows: title, heading, "more", total, an empty line, and the cursor's.
const OTHER_LINES: usize = 6;
/// Minimum number of rows, on a screen of any height.
const MIN_ROWS: usize = 3;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// Returns the table as text for the terminal. Tables follow each other, so that the user can scroll back to earlier ones.
pub(super) fn draw(window: &Window, view: &View) -> String {
    let rows = Rows::of_window(window);
    let mut page = Page { text: String::new(), view };
    let total = rows.total();
    page.line(BOLD, &title(window, &rows, &total, view.columns));
    if rows.shown.is_empty() {
        page.line(DIM, "no TCP connections in this window, or a filter drops them");
        page.line("", "");
        return page.text;
    }
    let room = view.rows.map_or(rows.shown.len(), |lines| lines.saturating_sub(OTHER_LINES).max(MIN_ROWS));
    let (visible, hidden) = rows.shown.split_at(room.min(rows.shown.len()));
    let layout = Layout::choose(visible, &total, rows.level, view.columns);
    page.line(DIM, &layout.head());
    for row in visible {
        page.line(if row.is_idle() { DIM } else { "" }, &layout.line(row));
    }
    if !hidden.is_empty() {
        page.line(DIM, &more(hidden));
    }
    if rows.shown.len() > 1 {
        page.line(BOLD, &layout.line(&total));
    }
    page.line("", "");
    page.text
}

/// Returns the window's time and length, and totals, also those for which a narrow screen has no column.
fn title(window: &Window, rows: &Rows, total: &Row, columns: usize) -> String {
    let (start, end) = (Rfc3339(window.start).to_string(), Rfc3339(window.end).to_string());
    let clock = |time: &str| time.get(11..19).unwrap_or_default().to_owned();
    let day = start.get(..10).unwrap_or_default();
    let length = units::span(window.end.since(window.start).as_secs_f64());
    let mut title = format!("{day} {} – {} UTC ({length})", clock(&start), clock(&end));
    if rows.shown.is_empty() {
        return title;
    }
    let flows = rows.shown.len();
    title += &match rows.level {
        Some(Level::Connection) => format!(", {flows} connection{}", plural(flows as u64)),
        _ => format!(", {flows} flow{}", plural(flows as u64)),
    };
    let counts = [
        (total.active, "open"),
        (total.failed, "failed"),
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

fn more(hidden: &[Row]) -> String {
    let total = Row::sum(hidden, String::new());
    let (towards, back) = (units::bytes(total.towards), units::bytes(total.back));
    format!("… and {} more: → {towards}, ← {back}, {} open", hidden.len(), units::count(total.active))
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
