//! Logs to stderr, so that stdout contains only data.

use std::ffi::OsStr;
use std::io::IsTerminal;

use longwave_pipeline::runtime::{LogConfig, LogEncoding, LogLevel};
use longwave_top::source::notices::Notices;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// Starts logging. A later call, after a reload, has no effect.
pub(super) fn init(settings: &LogConfig) {
    let level = settings.level.as_str();
    // The info messages of libraries do not help an operator.
    let others = if settings.level == LogLevel::Error { "error" } else { "warn" };
    // A target matches if it begins with the name, so that this includes all crates of Longwave.
    let filter = EnvFilter::new(format!("{others},longwave={level}"));
    let builder = fmt().with_writer(std::io::stderr).with_env_filter(filter).with_target(false);
    let started = match settings.encoding {
        LogEncoding::Console => {
            let colored =
                is_colored(std::io::stderr().is_terminal(), std::env::var_os("NO_COLOR").as_deref());
            builder.with_ansi(colored).try_init()
        }
        LogEncoding::Json => builder.json().flatten_event(true).try_init(),
    };
    drop(started);
}

/// Shows warnings and errors on the screen of `top` instead of stderr, which is the same terminal.
pub(super) fn init_notices(notices: Notices) {
    let builder = fmt().with_writer(notices).with_env_filter(EnvFilter::new("error,longwave=warn"));
    drop(builder.with_target(false).with_ansi(false).without_time().try_init());
}

/// Returns whether to color the log: on a terminal, unless `NO_COLOR` (<https://no-color.org>) is set to a text that is not empty.
pub(super) fn is_colored(is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty)
}
