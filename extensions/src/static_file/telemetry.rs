//! Self-telemetry of `static`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use longwave_pipeline::component::ComponentMeter;
use opentelemetry::metrics::Meter;

use super::directory::StaticDirectory;

/// Counters that the extension updates and self-telemetry reads.
#[derive(Debug, Default)]
pub(super) struct Stats {
    /// Changed files that took effect.
    pub reloads: AtomicU64,
    /// Changed files that could not be used.
    pub failures: AtomicU64,
    /// Whether the file differs from the rules in force because it cannot be used.
    pub stale: AtomicBool,
}

// === impl Stats ===

impl Stats {
    /// Registers the metrics with `meter`, with the extension's id as an attribute.
    pub fn export(self: &Arc<Self>, directory: &Arc<StaticDirectory>, meter: &Meter, id: &str) {
        let meter = ComponentMeter::new(meter, [("extension", id)]);
        let directory = meter.observe(directory);
        directory.gauge("longwave_extension_static_rules", "{rule}", "Rules in force.", |directory| {
            directory.rules().len() as u64
        });
        let stats = meter.observe(self);
        stats.gauge(
            "longwave_extension_static_stale",
            "",
            "1 while the file cannot be used and older rules are in force.",
            |stats| u64::from(stats.stale.load(Ordering::Relaxed)),
        );
        stats.counter_by(
            "longwave_extension_static_reloads",
            "{reload}",
            "Changes of the file, by outcome: `success` is in force, `failure` cannot be used.",
            "outcome",
            |stats| {
                [("success", &stats.reloads), ("failure", &stats.failures)]
                    .map(|(outcome, count)| (outcome, count.load(Ordering::Relaxed)))
            },
        );
    }
}
