//! The rows.

use longwave_exporters::fit;
use longwave_pipeline::model::End;
use ratatui::style::Style;

use super::canvas::Canvas;
use super::columns::{Columns, MARK};
use super::{FOOTER, HEADER, Theme, cell};
use crate::app::App;
use crate::model::{Row, Side};

pub(super) fn draw(app: &App, canvas: &mut Canvas<'_>, theme: Theme) {
    let columns = Columns::choose(app, canvas.area.width);
    head(app, &columns, canvas, theme);
    let (model, list) = (app.model(), &app.view().list);
    let lines = list.lines(model, app.both_ends);
    let room = usize::from(canvas.area.height - HEADER - FOOTER);
    if lines.is_empty() {
        let text = match (model.tick(), model.filter(), &app.view().scope) {
            (None, ..) => "the first interval ends in a moment",
            (_, _, Some(_)) => "what was here has ended; Esc returns",
            (_, Some(_), _) => "the filter excludes everything, or nothing has happened since; / changes it",
            _ => app.kind().when_empty(),
        };
        canvas.put(MARK, HEADER, text, theme.dim());
        return;
    }
    let selected = list.selected();
    for (y, (id, side)) in lines.iter().skip(list.offset).take(room).enumerate() {
        if let Some(row) = model.row(*id) {
            line(app, row, *side, &columns, Some(*id) == selected, canvas, HEADER + y as u16, theme);
        }
    }
}

fn head(app: &App, columns: &Columns, canvas: &mut Canvas<'_>, theme: Theme) {
    let y = HEADER - 1;
    let name = usize::from(columns.name);
    canvas.put(MARK, y, &fit::pad("CLIENT", name, false), theme.bold());
    let mut x =
        canvas.put(MARK + columns.name + columns.gap, y, &fit::pad("SERVER", name, false), theme.bold());
    for column in &columns.chosen {
        let (cells, sort) = (usize::from(column.width()), app.view().sort.by);
        let style = if *column == sort { theme.key() } else { theme.bold() };
        let text = fit::pad(column.head(app.totals), cells, !column.is_text());
        x = canvas.put(x + columns.gap, y, &text, style);
    }
}

#[allow(clippy::too_many_arguments, reason = "one call")]
fn line(
    app: &App,
    row: &Row,
    side: Option<Side>,
    columns: &Columns,
    is_selected: bool,
    canvas: &mut Canvas<'_>,
    y: u16,
    theme: Theme,
) {
    let (mark, mut style) = look(row, theme);
    if is_selected {
        style = style.patch(theme.reversed());
        canvas.fill(y, style);
    }
    canvas.put(0, y, mark, style);
    let name = usize::from(columns.name);
    let names = &row.names;
    canvas.put(MARK, y, &fit::pad(&fit::cut_middle(&names.source, name), name, false), style);
    let destination = fit::pad(&fit::cut_middle(&names.destination, name), name, false);
    let mut x = canvas.put(MARK + columns.name + columns.gap, y, &destination, style);
    for column in &columns.chosen {
        let cells = usize::from(column.width());
        let text = fit::cut_middle(&cell::text(app, row, side, *column), cells);
        x = canvas.put(x + columns.gap, y, &fit::pad(&text, cells, !column.is_text()), style);
    }
}

/// Returns the mark and the style of a row.
fn look(row: &Row, theme: Theme) -> (&'static str, Style) {
    let measures = &row.last.once;
    let has_failed = matches!(row.last_end.map(|last| last.end), Some(End::Failed(_)));
    if measures.failed > 0 {
        ("✖", theme.failing())
    } else if measures.is_lossy() {
        ("▲", theme.lossy())
    } else if row.ended.is_some() || (has_failed && measures.open == 0) {
        ("-", theme.dim())
    } else {
        ("", theme.plain())
    }
}
