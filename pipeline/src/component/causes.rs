//! Texts of an error and its causes.

use std::error::Error;
use std::io;

/// Returns the messages of the error and its causes, the outermost first. A cause that an outer message already quotes is not repeated.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
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
