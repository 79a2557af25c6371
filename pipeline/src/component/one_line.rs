//! [`one_line`]: texts of other programs in messages.

use super::visible::put;

/// Maximum number of characters that [`one_line`] returns, without the mark of an omission.
const MAX_CHARS: usize = 200;

/// Returns the beginning of a text that another program sent, so that it can be part of a log line: at most 200 characters, without
/// surrounding white space. Characters that break a line, control a terminal or change the direction of the text are escaped, so that a server
/// cannot forge a line.
pub fn one_line(text: &str) -> String {
    let mut line = String::new();
    let mut chars = 0;
    for c in text.trim().chars() {
        let before = line.len();
        // Writing into a `String` does not fail.
        let _ = put(c, &mut line);
        chars += line[before..].chars().count();
        if chars > MAX_CHARS {
            line.truncate(before);
            line.push('…');
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests;
