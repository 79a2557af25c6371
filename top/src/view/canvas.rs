//! [`Canvas`]: writes lines of text into a buffer, and never outside of its area.

use longwave_exporters::fit;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// An area of the screen.
pub(super) struct Canvas<'a> {
    pub(super) area: Rect,
    pub(super) buffer: &'a mut Buffer,
}

// === impl Canvas ===

impl Canvas<'_> {
    /// Writes text at a position of the area, cut at its right edge. Returns the position after it.
    pub(super) fn put(&mut self, x: u16, y: u16, text: &str, style: Style) -> u16 {
        if x >= self.area.width || y >= self.area.height {
            return x;
        }
        let room = usize::from(self.area.width - x);
        let text = fit::cut_end(text, room);
        self.buffer.set_stringn(self.area.x + x, self.area.y + y, &text, room, style);
        x.saturating_add(fit::width(&text) as u16)
    }

    /// Writes text that ends at the right edge.
    pub(super) fn put_right(&mut self, y: u16, text: &str, style: Style) {
        let x = self.area.width.saturating_sub(fit::width(text) as u16);
        self.put(x, y, text, style);
    }

    /// Clears a line and gives it a style.
    pub(super) fn fill(&mut self, y: u16, style: Style) {
        self.put(0, y, &" ".repeat(usize::from(self.area.width)), style);
    }

    /// Clears the area, and draws a frame with a title around it. Returns the area inside.
    pub(super) fn frame(&mut self, title: &str, style: Style) -> Rect {
        let width = usize::from(self.area.width);
        let (inner, last) = (width.saturating_sub(2), self.area.height.saturating_sub(1));
        for y in 0..self.area.height {
            let (left, middle, right) = match y {
                0 => ("┌", "─", "┐"),
                y if y == last => ("└", "─", "┘"),
                _ => ("│", " ", "│"),
            };
            let line = format!("{left}{}{right}", middle.repeat(inner));
            self.put(0, y, &line, style);
        }
        self.put(2, 0, &format!(" {title} "), style);
        Rect {
            x: self.area.x + 2,
            y: self.area.y + 1,
            width: self.area.width.saturating_sub(4),
            height: self.area.height.saturating_sub(2),
        }
    }
}

/// Divides a text into lines of at most `width` characters, at spaces.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().map_or(0, |line| fit::width(line));
        if line > 0 && line + 1 + fit::width(word) > width {
            lines.push(word.to_owned());
        } else if let Some(last) = lines.last_mut() {
            if line > 0 {
                last.push(' ');
            }
            *last += word;
        }
    }
    lines
}
