//! [`Theme`]: how things look, with colors or without.

use ratatui::style::{Color, Modifier, Style};

/// Styles of the screen.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    /// Whether colors are used. Without them, failures and losses are bold, and have their marks.
    pub is_colored: bool,
}

// === impl Theme ===

impl Theme {
    fn with(self, color: Color, modifier: Modifier) -> Style {
        let style = Style::new().add_modifier(modifier);
        if self.is_colored { style.fg(color) } else { style }
    }

    pub(super) fn plain(self) -> Style {
        Style::new()
    }

    pub(super) fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn reversed(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn failing(self) -> Style {
        self.with(Color::Red, Modifier::BOLD)
    }

    pub(super) fn lossy(self) -> Style {
        self.with(Color::Yellow, Modifier::BOLD)
    }

    pub(super) fn key(self) -> Style {
        self.with(Color::Cyan, Modifier::BOLD)
    }
}
