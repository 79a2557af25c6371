//! Longwave's own log. By default it is written to stderr, so that stdout contains only data.

mod output;
mod sampling;

use std::ffi::OsStr;
use std::io::IsTerminal;

use longwave_pipeline::runtime::{LogConfig, LogEncoding, LogLevel, LogSampler};
use longwave_top::source::notices::Notices;
use serde_json::{Map, Value};
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use output::LogWriter;
use sampling::SamplingLayer;

/// Starts logging. A later call, after a reload, has no effect. `resource` describes Longwave.
///
/// # Errors
/// An output cannot be opened.
pub(super) fn init(settings: &LogConfig, resource: &[(String, String)]) -> anyhow::Result<()> {
    // An error means that logging has started already.
    let _ = dispatch(settings, resource)?.try_init();
    Ok(())
}

fn dispatch(settings: &LogConfig, resource: &[(String, String)]) -> anyhow::Result<Dispatch> {
    let level = settings.level.as_str();
    // The info messages of libraries do not help an operator.
    let others = if settings.level == LogLevel::Error { "error" } else { "warn" };
    // A target matches if it begins with the name, so that this includes all crates of Longwave.
    let filter = EnvFilter::new(format!("{others},longwave={level}"));
    let writer = LogWriter::open(settings, &fields(settings, resource))?;
    let builder = fmt()
        // It would panic if stderr is closed.
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_target(false)
        .with_file(!settings.disable_caller)
        .with_line_number(!settings.disable_caller);
    let sampling = LogSampler::new(&settings.sampling).map(SamplingLayer::new);
    Ok(match settings.encoding {
        LogEncoding::Console => {
            let colored = settings.output_paths == ["stderr"]
                && is_colored(std::io::stderr().is_terminal(), std::env::var_os("NO_COLOR").as_deref());
            builder.with_ansi(colored).with_writer(writer).finish().with(sampling).into()
        }
        LogEncoding::Json => {
            builder.json().flatten_event(true).with_writer(writer).finish().with(sampling).into()
        }
    })
}

/// Returns the fields that each line has.
fn fields(settings: &LogConfig, resource: &[(String, String)]) -> Map<String, Value> {
    let mut fields = Map::new();
    for (key, value) in &settings.initial_fields {
        // A value of the configuration is always a value of JSON.
        fields.insert(key.clone(), serde_json::to_value(value).unwrap_or_default());
    }
    if !settings.disable_zap_resource {
        let resource = resource.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
        fields.insert("resource".to_owned(), Value::Object(resource.collect()));
    }
    fields
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

#[cfg(test)]
mod tests;
