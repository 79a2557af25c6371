//! What each key does.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use longwave_pipeline::model::UnixNanos;

use super::{Action, App, Column, Input, Origin, Overlay, Prompt, Seek, ViewKind};

/// A minute, in seconds.
const MINUTE: i64 = 60;
const NANOS: u64 = 1_000_000_000;

/// Keys and what they do, for the help.
pub const KEYS: [(&str, &str); 18] = [
    ("1–5, Tab", "views: talkers, slow, lossy, failing, connections"),
    ("↑ ↓ PgUp PgDn", "select a row; also j k, Home, End"),
    ("Enter, Esc", "down and up: service, workload, connection, details"),
    ("/", "filter: workload=web and (rtt>50ms or retransmits>1%)"),
    ("s S R", "sort by the next or previous column; reverse"),
    ("r, a", "sort again now; after each interval"),
    ("t", "rates of the last interval, or totals"),
    ("b", "a line for each end that is on this host"),
    ("c", "choose columns"),
    ("Space", "freeze the screen; counting goes on"),
    ("?", "this help"),
    ("q, Ctrl-C", "quit; Ctrl-Z suspends"),
    ("", "in a recording:"),
    ("← →", "previous interval, next interval"),
    ("[ ]", "a minute back, a minute forward"),
    ("{ }", "first interval, last interval"),
    ("g", "go to a time: 13:05 or 13:05:30 (UTC)"),
    ("Space", "play, one interval a second; stop"),
];

// === impl App ===

impl App {
    /// Handles a key.
    pub fn key(&mut self, key: KeyEvent) -> Action {
        // A key means that the user has read the notice. A fault that persists sends another one.
        self.notice = None;
        let with_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if with_control => return Action::Quit,
            KeyCode::Char('z') if with_control => return Action::Suspend,
            _ => {}
        }
        if let Some(prompt) = self.prompt.take() {
            return self.prompt_key(prompt, key);
        }
        if let Some(overlay) = self.overlay.take() {
            self.overlay_key(overlay, key);
            return Action::Draw;
        }
        if with_control {
            return Action::Draw;
        }
        self.table_key(key)
    }

    fn table_key(&mut self, key: KeyEvent) -> Action {
        let page = isize::try_from(self.page.max(2) - 1).unwrap_or(isize::MAX);
        match key.code {
            KeyCode::Char('q') => return Action::Quit,
            KeyCode::Char('?' | 'h') => self.overlay = Some(Overlay::Help(0)),
            KeyCode::Char(digit @ '1'..='5') => self.show(ViewKind::ALL[digit as usize - '1' as usize]),
            KeyCode::Tab => self.show(ViewKind::ALL[(self.kind().index() + 1) % 5]),
            KeyCode::BackTab => self.show(ViewKind::ALL[(self.kind().index() + 4) % 5]),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::PageUp => self.step(-page),
            KeyCode::PageDown => self.step(page),
            KeyCode::Home => self.step(isize::MIN),
            KeyCode::End => self.step(isize::MAX),
            KeyCode::Enter => self.enter(),
            KeyCode::Esc | KeyCode::Backspace => self.leave(),
            KeyCode::Char('/') => {
                let text = self.model().filter().map(ToString::to_string).unwrap_or_default();
                self.prompt = Some(Prompt::Filter(Input::new(&text), None));
            }
            KeyCode::Char('s') => self.next_sort(1),
            KeyCode::Char('S') => self.next_sort(-1),
            KeyCode::Char('R') => {
                let sort = &mut self.view_mut().sort;
                sort.ascending = !sort.ascending;
                self.resort();
            }
            KeyCode::Char('r') => self.resort(),
            KeyCode::Char('a') => {
                self.sorts_always = !self.sorts_always;
                self.resort();
            }
            KeyCode::Char('t') => {
                self.totals = !self.totals;
                self.resort();
            }
            KeyCode::Char('b') => self.both_ends = !self.both_ends,
            KeyCode::Char('c') => self.overlay = Some(Overlay::Columns(0)),
            KeyCode::Char(' ') if self.is_recording() => self.plays = !self.plays,
            KeyCode::Char(' ') => self.freeze(),
            code => return self.time_key(code),
        }
        Action::Draw
    }

    /// Handles a key that selects another time of a recording.
    fn time_key(&mut self, code: KeyCode) -> Action {
        let Origin::Recording { first, last, .. } = &self.origin else { return Action::Draw };
        let (first, last) = (*first, *last);
        let seek = match code {
            KeyCode::Right => Seek::Next,
            KeyCode::Left => Seek::Back,
            KeyCode::Char('[') => Seek::By(-MINUTE),
            KeyCode::Char(']') => Seek::By(MINUTE),
            KeyCode::Char('{') => Seek::To(first),
            KeyCode::Char('}') => Seek::To(last),
            KeyCode::Char('g') => {
                self.prompt = Some(Prompt::Jump(Input::default(), None));
                return Action::Draw;
            }
            _ => return Action::Draw,
        };
        self.plays = false;
        Action::Seek(seek)
    }

    fn step(&mut self, rows: isize) {
        if self.detail.is_some() {
            let rows = i16::try_from(rows.clamp(-1_000, 1_000)).unwrap_or_default();
            self.detail_offset = self.detail_offset.saturating_add_signed(rows);
        } else {
            self.view_mut().list.step(rows);
        }
    }

    fn next_sort(&mut self, step: isize) {
        let columns: Vec<Column> = Column::ALL.into_iter().filter(|column| column.can_sort()).collect();
        let sort = &mut self.view_mut().sort;
        let now = columns.iter().position(|column| *column == sort.by).unwrap_or_default();
        let next = (now as isize + step).rem_euclid(columns.len() as isize) as usize;
        sort.by = columns[next];
        self.resort();
    }

    fn overlay_key(&mut self, overlay: Overlay, key: KeyEvent) {
        let is_close =
            matches!(key.code, KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | '?' | 'c' | 'h'));
        if is_close {
            return;
        }
        self.overlay = Some(match (overlay, key.code) {
            (Overlay::Help(line), KeyCode::Down | KeyCode::PageDown | KeyCode::Char('j')) => {
                Overlay::Help(line.saturating_add(1))
            }
            (Overlay::Help(line), KeyCode::Up | KeyCode::PageUp | KeyCode::Char('k')) => {
                Overlay::Help(line.saturating_sub(1))
            }
            (Overlay::Columns(at), KeyCode::Down | KeyCode::Char('j')) => {
                Overlay::Columns((at + 1).min(Column::ALL.len() - 1))
            }
            (Overlay::Columns(at), KeyCode::Up | KeyCode::Char('k')) => {
                Overlay::Columns(at.saturating_sub(1))
            }
            (Overlay::Columns(at), KeyCode::Char(' ')) => {
                let column = Column::ALL[at];
                let is_shown = self.is_chosen(column);
                self.columns.insert(column, !is_shown);
                Overlay::Columns(at)
            }
            (Overlay::Columns(at), KeyCode::Char('d')) => {
                self.columns.clear();
                Overlay::Columns(at)
            }
            (other, _) => other,
        });
    }

    /// Returns whether the user chose the column, or the view has it among its first ones.
    pub fn is_chosen(&self, column: Column) -> bool {
        let of_view = || self.kind().columns().any(|usual| usual == column);
        self.columns.get(&column).copied().unwrap_or_else(of_view)
    }

    fn prompt_key(&mut self, prompt: Prompt, key: KeyEvent) -> Action {
        match (prompt, key.code) {
            (_, KeyCode::Esc) => {}
            (Prompt::Filter(input, _), KeyCode::Enter) => {
                if let Err(error) = self.set_filter(&input.text()) {
                    let message = error.with_caret().split_once('\n').map(|(_, below)| below.to_owned());
                    self.prompt = Some(Prompt::Filter(input, message));
                }
            }
            (Prompt::Jump(input, _), KeyCode::Enter) => match self.time(&input.text()) {
                Ok(time) => {
                    self.plays = false;
                    return Action::Seek(Seek::To(time));
                }
                Err(message) => self.prompt = Some(Prompt::Jump(input, Some(message))),
            },
            (Prompt::Filter(mut input, _), _) => {
                input.key(key);
                self.prompt = Some(Prompt::Filter(input, None));
            }
            (Prompt::Jump(mut input, _), _) => {
                input.key(key);
                self.prompt = Some(Prompt::Jump(input, None));
            }
        }
        Action::Draw
    }

    /// Parses a time of day. Returns its first occurrence at or after the start of the recording.
    fn time(&self, text: &str) -> Result<UnixNanos, String> {
        let Origin::Recording { first, last, .. } = &self.origin else { return Err(String::new()) };
        let parts: Option<Vec<u64>> = text.trim().split(':').map(|part| part.parse().ok()).collect();
        let (hour, minute, second) = match parts.as_deref() {
            Some([hour, minute]) => (*hour, *minute, 0),
            Some([hour, minute, second]) => (*hour, *minute, *second),
            _ => return Err("^ a time is 13:05 or 13:05:30".to_owned()),
        };
        if hour > 23 || minute > 59 || second > 59 {
            return Err("^ there is no such time: hours are 0 to 23, minutes and seconds 0 to 59".to_owned());
        }
        let day = 86_400 * NANOS;
        let of_day = (hour * 3_600 + minute * 60 + second) * NANOS;
        let midnight = first.0 - first.0 % day;
        // A time up to a minute before the first interval selects the first interval, and not the next day.
        let time = if midnight + of_day + 60 * NANOS < first.0 {
            midnight + day + of_day
        } else {
            midnight + of_day
        };
        if time > last.0 {
            return Err(format!("^ the recording ends at {}", crate::view::clock(*last)));
        }
        Ok(UnixNanos(time.max(first.0)))
    }
}
