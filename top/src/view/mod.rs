//! Draws the state as text. It does not change the state, and tests draw into a buffer.

mod canvas;
mod cell;
mod chart;
mod columns;
mod detail;
mod header;
mod overlay;
mod prompt;
mod table;
mod theme;

#[cfg(test)]
mod tests;

use longwave_pipeline::model::{Rfc3339, UnixNanos};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

pub use theme::Theme;

use crate::app::{App, Overlay};
use canvas::Canvas;

/// Lines above the rows: source, totals, failures and losses, views, level, columns.
const HEADER: u16 = 6;
/// Lines below the rows.
const FOOTER: u16 = 2;
/// A smaller screen shows only a message.
const MIN_SIZE: (u16, u16) = (60, 12);

/// Returns the number of rows that fit on a screen.
pub fn page(area: Rect) -> usize {
    usize::from(area.height.saturating_sub(HEADER + FOOTER))
}

/// Draws the screen. Returns the position of the cursor if the user types.
pub fn draw(app: &App, area: Rect, buffer: &mut Buffer, theme: Theme) -> Option<(u16, u16)> {
    let mut canvas = Canvas { area, buffer };
    if (area.width, area.height) < (MIN_SIZE.0, 0) || area.height < MIN_SIZE.1 {
        let message = format!("longwave top needs at least {} columns and {} lines", MIN_SIZE.0, MIN_SIZE.1);
        canvas.put(0, 0, &message, theme.bold());
        return None;
    }
    header::draw(app, &mut canvas, theme);
    match app.detail.and_then(|id| app.model().flow(id)) {
        Some(flow) => detail::draw(app, flow, &mut canvas, theme),
        None => table::draw(app, &mut canvas, theme),
    }
    let cursor = prompt::draw(app, &mut canvas, theme);
    match app.overlay {
        Some(Overlay::Help(line)) => overlay::help(line, &mut canvas, theme),
        Some(Overlay::Columns(at)) => overlay::columns(app, at, &mut canvas, theme),
        None => {}
    }
    cursor
}

/// Returns the time of the day in UTC, without fractions.
pub(crate) fn clock(time: UnixNanos) -> String {
    Rfc3339(time).to_string().get(11..19).unwrap_or_default().to_owned()
}
