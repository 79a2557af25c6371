//! Shows names to people: [`Visible`].
//!
//! A process chooses its own name. A character in it that does not show, or that changes the order of what follows, could make one row look
//! like another.

use std::fmt::{self, Display, Write};

/// Characters of the category Cf of Unicode 16 (format: bidirectional overrides, zero-width characters, tags), and the separators of lines
/// and paragraphs, in order.
const FORMAT: [(char, char); 21] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
];

/// Shows a text with control and format characters as `\u{202e}`, and newlines, carriage returns and tabs as `\n`, `\r` and `\t`.
pub struct Visible<'a>(pub &'a str);

/// Returns true for control characters (C0, DEL and C1) and for format characters, which are to be escaped wherever people read a name.
pub fn must_be_escaped(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    let after = FORMAT.partition_point(|(first, _)| *first <= character);
    let is_format = after.checked_sub(1).is_some_and(|index| character <= FORMAT[index].1);
    is_format || character.is_control()
}

/// Writes a character, escaped if it must be.
///
/// # Errors
/// Those of `out`.
pub fn put(character: char, out: &mut impl Write) -> fmt::Result {
    if must_be_escaped(character) {
        write!(out, "{}", character.escape_default())
    } else {
        out.write_char(character)
    }
}

// === impl Visible ===

impl Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| put(character, f))
    }
}

#[cfg(test)]
mod tests;
