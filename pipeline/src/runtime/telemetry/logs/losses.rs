//! Counters of log messages that are not written. They belong to the process, because the log does.

use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

/// Why a message was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLoss {
    /// There were many messages with the same text.
    Sampled,
    /// An output could not be written.
    WriteFailed,
}

/// The label of each loss, and its counter.
static LOSSES: [(&str, AtomicU64); 2] = [("sampled", AtomicU64::new(0)), ("write_failed", AtomicU64::new(0))];

/// Counts a message that was not written.
pub fn count_lost_message(loss: LogLoss) {
    LOSSES[loss as usize].1.fetch_add(1, Ordering::Relaxed);
}

/// Registers the instrument.
pub(in crate::runtime::telemetry) fn observe(meter: &Meter) {
    meter
        .u64_observable_counter("longwave_log_lost_messages")
        .with_unit("{message}")
        .with_description("Messages of Longwave's own log that were not written, by reason.")
        .with_callback(|observer| {
            for (reason, count) in &LOSSES {
                observer.observe(count.load(Ordering::Relaxed), &[KeyValue::new("reason", *reason)]);
            }
        })
        .build();
}
