//! What covers the table: the help, and the choice of columns.

use longwave_exporters::fit;
use ratatui::layout::Rect;

use super::Theme;
use super::canvas::Canvas;
use crate::app::keys::KEYS;
use crate::app::{App, Column};

/// Width of the first column of the help.
const KEY_WIDTH: usize = 15;

pub(super) fn help(first: u16, canvas: &mut Canvas<'_>, theme: Theme) {
    let mut lines: Vec<(String, String)> =
        KEYS.iter().map(|(key, what)| ((*key).to_owned(), (*what).to_owned())).collect();
    lines.push((String::new(), String::new()));
    lines.push((String::new(), "marks: ✖ connections failed, ▲ at least 1% sent again, - ended".to_owned()));
    lines.push((String::new(), "Both ends on this host are one line. New rows come at the end.".to_owned()));
    lines.push((String::new(), String::new()));
    lines.extend(
        Column::ALL.into_iter().map(|column| (column.head(false).to_owned(), column.about().to_owned())),
    );
    let area = centered(canvas.area, 76, lines.len() as u16 + 2);
    let room = area.height.saturating_sub(2);
    let first = first.min((lines.len() as u16).saturating_sub(room));
    let title =
        if usize::from(room) < lines.len() { "help: ↑ ↓ scroll, Esc closes" } else { "help: Esc closes" };
    let mut outer = Canvas { area, buffer: canvas.buffer };
    let inner = outer.frame(title, theme.plain());
    let mut inner = Canvas { area: inner, buffer: canvas.buffer };
    for (y, (key, what)) in lines.iter().skip(usize::from(first)).take(usize::from(room)).enumerate() {
        inner.put(0, y as u16, &fit::pad(key, KEY_WIDTH, false), theme.key());
        inner.put(KEY_WIDTH as u16 + 1, y as u16, what, theme.plain());
    }
}

pub(super) fn columns(app: &App, at: usize, canvas: &mut Canvas<'_>, theme: Theme) {
    let area = centered(canvas.area, 76, Column::ALL.len() as u16 + 4);
    let mut outer = Canvas { area, buffer: canvas.buffer };
    let inner = outer.frame("columns: Space shows or hides, d is the default, Esc closes", theme.plain());
    let mut inner = Canvas { area: inner, buffer: canvas.buffer };
    for (y, column) in Column::ALL.into_iter().enumerate() {
        let mark = if app.is_chosen(column) { "[x]" } else { "[ ]" };
        let text = format!("{mark} {} {}", fit::pad(column.head(app.totals), 10, false), column.about());
        inner.put(0, y as u16, &text, if y == at { theme.reversed() } else { theme.plain() });
    }
    let note = "Columns are added while there is room; those that you choose come first.";
    inner.put(0, Column::ALL.len() as u16 + 1, note, theme.dim());
}

fn centered(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}
