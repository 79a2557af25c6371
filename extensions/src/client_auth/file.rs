//! Reads files with credentials.

use std::fs::{self, File};
use std::io::{self, Read};

/// Maximum size of a file. Tokens of clouds have a few KiB.
const MAX_BYTES: u64 = 64 << 10;

/// Returns the text of a file without the white space around it, as the Collector: editors and `echo` end a file with a newline.
///
/// # Errors
/// The file cannot be read, is empty, or is too large. The message names it.
pub(super) fn read(path: &str) -> Result<String, String> {
    let text = read_bounded(path).map_err(|error| format!("{path}: {error}"))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("{path}: the credentials file is empty"));
    }
    Ok(text.to_owned())
}

fn read_bounded(path: &str) -> io::Result<String> {
    // To open a named pipe would block.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!(
            "larger than {MAX_BYTES} bytes, so it does not contain credentials"
        )));
    }
    Ok(text)
}
