//! The last two lines: counts of what is not on the screen, and keys or a prompt.

use longwave_exporters::{fit, units};
use longwave_pipeline::model::Level;

use super::canvas::{Canvas, wrap};
use super::{FOOTER, HEADER, Theme};
use crate::app::{App, Prompt};
use crate::model::{LeftOut, MAX_CONNECTIONS};

/// Draws both lines. Returns the position of the cursor if the user types.
pub(super) fn draw(app: &App, canvas: &mut Canvas<'_>, theme: Theme) -> Option<(u16, u16)> {
    let below = canvas.area.height - 1;
    let (label, input, message) = match &app.prompt {
        None => {
            status(app, canvas, below - 1, theme);
            hints(app, canvas, below, theme);
            return None;
        }
        Some(Prompt::Filter(input, message)) => ("filter: ", input, message),
        Some(Prompt::Jump(input, message)) => ("time: ", input, message),
    };
    let width = usize::from(canvas.area.width);
    // A long text is scrolled, so that the cursor is visible.
    let skipped = input.cursor().saturating_sub(width.saturating_sub(label.len() + 1));
    let lines = match (message, &app.prompt) {
        (Some(message), _) => error(message, label.len(), skipped, width),
        (None, Some(Prompt::Filter(..))) => vec![FILTER_HINT.to_owned()],
        (None, _) => vec![JUMP_HINT.to_owned()],
    };
    let style = if message.is_some() { theme.failing() } else { theme.dim() };
    let top = below.saturating_sub(lines.len() as u16);
    (top..=below).for_each(|y| canvas.fill(y, theme.plain()));
    let x = canvas.put(0, top, label, theme.key());
    canvas.put(x, top, &input.text().chars().skip(skipped).collect::<String>(), theme.plain());
    for (y, line) in (top + 1..).zip(&lines) {
        canvas.put(0, y, line, style);
    }
    Some((x + (input.cursor() - skipped) as u16, top))
}

const FILTER_HINT: &str =
    "Enter: apply   Esc: cancel   empty: no filter   example: workload=web and rtt>50ms";
const JUMP_HINT: &str = "Enter: go there   Esc: cancel   example: 13:05";

/// Returns the lines below the text: the caret, and what is wrong. The message begins with one space for each character before the mistake, and
/// a caret.
fn error(message: &str, label: usize, skipped: usize, width: usize) -> Vec<String> {
    let before = message.chars().take_while(|character| *character == ' ').count();
    let caret = " ".repeat(label + before.saturating_sub(skipped)) + "^";
    let text = message.trim_start().trim_start_matches('^').trim_start();
    if fit::width(&caret) + 1 + fit::width(text) <= width {
        return vec![format!("{caret} {text}")];
    }
    let mut lines = vec![caret];
    lines.extend(wrap(text, width));
    lines
}

/// Counts what is not on the screen.
fn status(app: &App, canvas: &mut Canvas<'_>, y: u16, theme: Theme) {
    if let Some(notice) = &app.notice {
        canvas.put(0, y, notice, theme.lossy());
        return;
    }
    if app.detail.is_some() {
        return;
    }
    let list = &app.view().list;
    let room = usize::from(canvas.area.height - HEADER - FOOTER);
    let rows = list.order().len();
    let (one, many) = match app.view().level {
        Level::Service => ("line", "lines"),
        Level::Workload => ("workload pair", "workload pairs"),
        Level::Connection => ("connection", "connections"),
    };
    let what = if rows == 1 { one } else { many };
    let mut text =
        if rows > room { format!("{rows} {what}, {room} on the screen") } else { format!("{rows} {what}") };
    if list.new_rows() > 0 {
        text += &format!("; {} new at the end: r sorts again", list.new_rows());
    }
    let LeftOut { folded, evicted, rows } = app.model().left_out();
    if folded + evicted + rows > 0 {
        let parts = [
            (folded, "more sockets are under (others)"),
            (evicted, "ended ones removed early"),
            (rows, "flows without a line"),
        ];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> =
            parts.map(|(count, what)| format!("{} {what}", units::count(count))).collect();
        text += &format!("; room for {MAX_CONNECTIONS} connections: {}", parts.join(", "));
    }
    canvas.put(0, y, &text, theme.dim());
}

fn hints(app: &App, canvas: &mut Canvas<'_>, y: u16, theme: Theme) {
    let enter = match (app.detail, app.view().level) {
        (Some(_), _) => None,
        (None, Level::Connection) => Some("details"),
        (None, _) => Some("open"),
    };
    let mut hints = vec![("?", "help"), ("q", "quit")];
    hints.extend(enter.map(|what| ("Enter", what)));
    if app.detail.is_some() || app.view().scope.is_some() {
        hints.push(("Esc", "back"));
    } else if app.view().level == Level::Workload {
        hints.push(("Esc", "services"));
    }
    hints.extend([("/", "filter"), ("s", "sort")]);
    if app.is_recording() {
        hints.extend([
            ("←→", "interval"),
            ("[ ]", "minute"),
            ("g", "time"),
            ("Space", if app.plays { "stop" } else { "play" }),
        ]);
    } else {
        hints.push(("Space", if app.is_frozen() { "go on" } else { "freeze" }));
    }
    hints.extend([("t", if app.totals { "rates" } else { "totals" }), ("b", "both ends"), ("c", "columns")]);
    let mut x = 0;
    for (key, what) in hints {
        if usize::from(x) + fit::width(key) + 1 + what.len() > usize::from(canvas.area.width) {
            return;
        }
        x = canvas.put(x, y, key, theme.key());
        x = canvas.put(x + 1, y, what, theme.plain()) + 2;
    }
}
