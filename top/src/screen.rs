//! [`Screen`]: the terminal, which is always restored.

use std::io::{self, Stdout, Write, stdout};

use crossterm::cursor::Show;
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use rustix::process::{Signal, kill_current_process_group};

use crate::app::App;
use crate::view::{self, Theme};

/// The terminal in raw mode, with the alternate screen.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    theme: Theme,
}

// === impl Screen ===

impl Screen {
    /// Takes over the terminal. A panic restores it before it is printed.
    pub(crate) fn new() -> io::Result<Self> {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let former = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            former(panic);
        }));
        enter()?;
        let terminal = Terminal::new(CrosstermBackend::new(stdout())).inspect_err(|_| restore())?;
        Ok(Self { terminal, theme: Theme { is_colored: !no_color } })
    }

    pub(crate) fn draw(&mut self, app: &mut App) -> io::Result<()> {
        let theme = self.theme;
        self.terminal.draw(|frame| {
            let area = frame.area();
            app.fit(view::page(area));
            if let Some(cursor) = view::draw(app, area, frame.buffer_mut(), theme) {
                frame.set_cursor_position(cursor);
            }
        })?;
        Ok(())
    }

    /// Stops this process and those of its job, as the terminal does at Ctrl-Z, and takes over the terminal again afterwards.
    pub(crate) fn suspend(&mut self) -> io::Result<()> {
        restore();
        kill_current_process_group(Signal::TSTP)?;
        enter()?;
        self.terminal.clear()
    }

    /// Clears the terminal, so that the next [`Self::draw`] draws everything.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
        drop(std::panic::take_hook());
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen).inspect_err(|_| restore())
}

/// Restores the terminal. Ignores errors, because the terminal may have been closed.
fn restore() {
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
    let _ = stdout().flush();
}
