//! Logs to stderr, so that stdout contains only data.

use longwave_pipeline::runtime::{LogConfig, LogEncoding, LogLevel};
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
            use std::io::IsTerminal;
            builder.with_ansi(std::io::stderr().is_terminal()).try_init()
        }
        LogEncoding::Json => builder.json().flatten_event(true).try_init(),
    };
    drop(started);
}
