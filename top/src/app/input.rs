//! [`Input`]: a line that the user types.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Maximum length in characters.
const MAX_LENGTH: usize = 500;

/// Text with a cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    text: Vec<char>,
    cursor: usize,
}

// === impl Input ===

impl Input {
    /// Creates a line with a text, and the cursor at its end.
    pub fn new(text: &str) -> Self {
        let text: Vec<char> = text.chars().collect();
        Self { cursor: text.len(), text }
    }

    /// Returns the text.
    pub fn text(&self) -> String {
        self.text.iter().collect()
    }

    /// Returns the number of characters before the cursor.
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// Edits the text. Keys that do not edit are ignored.
    pub fn key(&mut self, key: KeyEvent) {
        let with_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('u') if with_control => {
                self.text.drain(..std::mem::take(&mut self.cursor)).for_each(drop)
            }
            KeyCode::Char('w') if with_control => {
                let is_space =
                    |character: Option<&char>| character.is_some_and(|character| character.is_whitespace());
                while self.cursor > 0 && is_space(self.text.get(self.cursor - 1)) {
                    self.remove_before();
                }
                while self.cursor > 0 && !is_space(self.text.get(self.cursor - 1)) {
                    self.remove_before();
                }
            }
            KeyCode::Char('a') if with_control => self.cursor = 0,
            KeyCode::Char('e') if with_control => self.cursor = self.text.len(),
            KeyCode::Char(character) if !with_control && self.text.len() < MAX_LENGTH => {
                self.text.insert(self.cursor, character);
                self.cursor += 1;
            }
            KeyCode::Backspace => self.remove_before(),
            KeyCode::Delete if self.cursor < self.text.len() => drop(self.text.remove(self.cursor)),
            KeyCode::Left => self.cursor = self.cursor.saturating_sub(1),
            KeyCode::Right => self.cursor = (self.cursor + 1).min(self.text.len()),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            _ => {}
        }
    }

    fn remove_before(&mut self) {
        if self.cursor > 0 {
            self.cursor -= 1;
            self.text.remove(self.cursor);
        }
    }
}
