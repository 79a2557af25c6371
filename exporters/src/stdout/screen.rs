//! What the standard output is: a terminal of some size, or not.

use std::io::{IsTerminal, stdout};

/// Columns of a table that does not go to a terminal, unless `COLUMNS` says otherwise.
const PLAIN_COLUMNS: usize = 120;

/// The standard output.
pub(super) struct Screen {
    terminal: bool,
    styled: bool,
}

/// What a table has to fit into.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// Cells in a row.
    pub(super) columns: usize,
    /// Rows; absent: as many as there are.
    pub(super) rows: Option<usize>,
    /// Bold and dim may be used.
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

    /// As it is now: a terminal may have been resized.
    pub(super) fn view(&self) -> View {
        let size = self.terminal.then(|| rustix::termios::tcgetwinsize(stdout()).ok()).flatten();
        let told = |name| std::env::var(name).ok().and_then(|value| value.parse().ok()).filter(|n| *n > 0);
        let columns = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
        let rows = size.map(|size| usize::from(size.ws_row)).filter(|rows| *rows > 0);
        View {
            columns: columns.or_else(|| told("COLUMNS")).unwrap_or(PLAIN_COLUMNS),
            rows,
            styled: self.styled,
        }
    }
}
