//! Fits texts into a number of terminal cells.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Returns the width of the text, in cells.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Cuts the end of a text that is wider than `cells`.
pub fn cut_end(text: &str, cells: usize) -> String {
    if width(text) <= cells {
        return text.to_owned();
    }
    match cells.checked_sub(1) {
        Some(room) => format!("{}…", head(text, room)),
        None => String::new(),
    }
}

/// Cuts the middle of a text that is wider than `cells`, since names differ at both ends (`checkout-7d…-x2x7q`).
pub fn cut_middle(text: &str, cells: usize) -> String {
    if width(text) <= cells {
        return text.to_owned();
    }
    let Some(room) = cells.checked_sub(1) else { return String::new() };
    let tail = tail(text, room / 2);
    format!("{}…{tail}", head(text, room - width(tail)))
}

/// Pads a text to `cells`.
pub fn pad(text: &str, cells: usize, right: bool) -> String {
    let gap = " ".repeat(cells.saturating_sub(width(text)));
    if right { gap + text } else { text.to_owned() + &gap }
}

fn head(text: &str, cells: usize) -> &str {
    let mut used = 0;
    for (at, character) in text.char_indices() {
        used += character.width().unwrap_or(0);
        if used > cells {
            return &text[..at];
        }
    }
    text
}

fn tail(text: &str, cells: usize) -> &str {
    let mut used = 0;
    for (at, character) in text.char_indices().rev() {
        used += character.width().unwrap_or(0);
        if used > cells {
            return &text[at + character.len_utf8()..];
        }
    }
    text
}
