//! The rows.

use longwave_exporters::fit;
use longwave_pipeline::model::End;
use ratatui::style::Style;

use super::canvas::Canvas;
use super::columns::{Columns, MARK};
use super::{FOOTER, HEADER, Theme, cell};
use crate::app::App;
use crate::model::{Row, Side};

/// The table that is being drawn.
struct Table<'a, 'b> {
    app: &'a App,
    columns: Columns,
    canvas: &'a mut Canvas<'b>,
    theme: Theme,
}

pub(super) fn draw(app: &App, canvas: &mut Canvas<'_>, theme: Theme) {
    let columns = Columns::choose(app, canvas.area.width);
    let mut table = Table { app, columns, canvas, theme };
    table.head();
    table.rows();
}

// === impl Table ===

impl Table<'_, '_> {
    fn head(&mut self) {
        let (bold, sort) = (self.theme.bold(), self.app.view().sort.by);
        let mut x = self.names("CLIENT", "SERVER", HEADER - 1, bold);
        for column in &self.columns.chosen {
            let cells = usize::from(column.width());
            let style = if *column == sort { self.theme.key() } else { bold };
            let text = fit::pad(column.head(self.app.totals), cells, !column.is_text());
            x = self.canvas.put(x + self.columns.gap, HEADER - 1, &text, style);
        }
    }

    fn rows(&mut self) {
        let (app, model, list) = (self.app, self.app.model(), &self.app.view().list);
        let lines = list.lines(model, app.both_ends);
        if lines.is_empty() {
            let text = match (model.tick(), model.filter(), &app.view().scope) {
                (None, ..) => "the first interval ends in a moment",
                (_, _, Some(_)) => "what was here has ended; Esc returns",
                (_, Some(_), _) => {
                    "the filter excludes everything, or nothing has happened since; / changes it"
                }
                _ => app.kind().when_empty(),
            };
            self.canvas.put(MARK, HEADER, text, self.theme.dim());
            return;
        }
        let room = usize::from(self.canvas.area.height - HEADER - FOOTER);
        let selected = list.selected();
        for (y, (id, side)) in lines.iter().skip(list.offset).take(room).enumerate() {
            if let Some(row) = model.row(*id) {
                self.row(row, *side, Some(*id) == selected, HEADER + y as u16);
            }
        }
    }

    fn row(&mut self, row: &Row, side: Option<Side>, is_selected: bool, y: u16) {
        let (mark, mut style) = look(row, self.theme);
        if is_selected {
            style = style.patch(self.theme.reversed());
            self.canvas.fill(y, style);
        }
        self.canvas.put(0, y, mark, style);
        let mut x = self.names(&row.names.source, &row.names.destination, y, style);
        for column in &self.columns.chosen {
            let cells = usize::from(column.width());
            let text = fit::cut_middle(&cell::text(self.app, row, side, *column), cells);
            x = self.canvas.put(x + self.columns.gap, y, &fit::pad(&text, cells, !column.is_text()), style);
        }
    }

    /// Writes the two names. Returns the position after them.
    fn names(&mut self, source: &str, destination: &str, y: u16, style: Style) -> u16 {
        let Columns { name, gap, .. } = self.columns;
        let cells = usize::from(name);
        self.canvas.put(MARK, y, &fit::cut_middle(source, cells), style);
        let destination = fit::pad(&fit::cut_middle(destination, cells), cells, false);
        self.canvas.put(MARK + name + gap, y, &destination, style)
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
