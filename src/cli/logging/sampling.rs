//! [`SamplingLayer`]: drops messages that repeat, before they are formatted.

use std::fmt::{Debug, Write};
use std::time::Instant;

use longwave_pipeline::runtime::{LogLevel, LogLoss, LogSampler, count_lost_message};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

pub(super) struct SamplingLayer {
    sampler: LogSampler,
}

/// The text of a message, without its fields.
#[derive(Default)]
struct Text(String);

// === impl SamplingLayer ===

impl SamplingLayer {
    pub(super) fn new(sampler: LogSampler) -> Self {
        Self { sampler }
    }
}

impl<S: Subscriber> Layer<S> for SamplingLayer {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let mut text = Text::default();
        event.record(&mut text);
        let admitted = self.sampler.admits(level(*event.metadata().level()), &text.0, Instant::now());
        if !admitted {
            count_lost_message(LogLoss::Sampled);
        }
        admitted
    }
}

// === impl Text ===

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            // Writing to a string does not fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}

fn level(level: Level) -> LogLevel {
    match level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG | Level::TRACE => LogLevel::Debug,
    }
}
