//! [`Screen`]: whether the standard output is a terminal, and its size.

use std::io::{IsTerminal, stdout};

/// Width of a table that is not written to a terminal, if `COLUMNS` is not set.
const DEFAULT_COLUMNS: usize = 120;

/// The standard output.
pub(super) struct Screen {
    terminal: bool,
    styled: bool,
}

/// Limits of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// Width, in cells.
    pub(super) columns: usize,
    /// Height, in lines; `None`: no limit.
    pub(super) rows: Option<usize>,
    /// Whether to use bold and dim.
    pub(super) styled: bool,
}

impl Screen {
    pub(super) fn of_stdout() -> Self {
        let terminal = stdout().is_terminal();
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { terminal, styled: terminal && !dumb && !set("NO_COLOR") }
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Returns the current size; a terminal may have been resized.
    pub(super) fn view(&self) -> View {
        let size = self.terminal.then(|| rustix::termios::tcgetwinsize(stdout()).ok()).flatten();
        let of_variable = || {
            std::env::var("COLUMNS").ok().and_then(|value| value.parse().ok()).filter(|columns| *columns > 0)
        };
        let columns = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
        let rows = size.map(|size| usize::from(size.ws_row)).filter(|rows| *rows > 0);
        View { columns: columns.or_else(of_variable).unwrap_or(DEFAULT_COLUMNS), rows, styled: self.styled }
    }
}
