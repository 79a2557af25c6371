//! Texts of an error and its causes.

use std::error::Error;
use std::io;

/// Returns the messages of the error and its causes, the outermost first. A cause that an outer message already quotes is not repeated, nor
/// is the path of a component at its start: `failed to start receivers::bpf: no root`.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {}", without_known_path(&cause, &text));
        }
    }
    text
}

/// Returns the cause without the path of a component that the text already has.
fn without_known_path<'a>(cause: &'a str, text: &str) -> &'a str {
    let is_known = |path: &str| text.split(' ').any(|word| word.trim_end_matches(':') == path);
    match cause.split_once(": ") {
        Some((path, rest)) if path.contains("::") && is_known(path) => rest,
        _ => cause,
    }
}

/// Returns the message of the innermost cause, which is the most specific one when a library wraps errors.
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}

/// Returns the remedy if no file descriptor is left, which any call that opens something reports.
pub fn descriptor_limit(error: &io::Error) -> Option<&'static str> {
    let code = error.raw_os_error()?;
    if code == rustix::io::Errno::MFILE.raw_os_error() {
        Some(
            "the process has as many open files and sockets as its limit allows: raise it (LimitNOFILE= in systemd, --ulimit nofile in Docker, ulimit -n)",
        )
    } else if code == rustix::io::Errno::NFILE.raw_os_error() {
        Some("the host has as many open files and sockets as it allows: raise the sysctl fs.file-max")
    } else {
        None
    }
}

/// Returns the causes of the error, the innermost last.
pub(super) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |error: &&'a (dyn Error + 'static)| (*error).source())
}

#[cfg(test)]
mod tests;
