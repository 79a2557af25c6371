//! What covers the table: the help, and the choice of columns.

use longwave_exporters::fit;
use ratatui::layout::Rect;

use super::Theme;
use super::canvas::Canvas;
use crate::app::keys::KEYS;
use crate::app::{App, Column};

/// Width of the first column of the help.
const KEY_WIDTH: usize = 15;

/// Lines between the keys and the columns.
const NOTES: [&str; 6] = [
    "",
    "✖ failed connections  ▲ at least 1% sent again  - ended",
    "A flow with both ends on this host is one line.",
    "Lines keep their places: new ones come at the end.",
    "Arrows are from the client to the server.",
    "",
];

pub(super) fn help(first: u16, canvas: &mut Canvas<'_>, theme: Theme) {
    let mut lines: Vec<(String, String)> =
        KEYS.iter().map(|(key, what)| ((*key).to_owned(), (*what).to_owned())).collect();
    lines.extend(NOTES.map(|note| (String::new(), note.to_owned())));
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
