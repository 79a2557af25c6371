//! Self-telemetry of `static`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use opentelemetry::KeyValue;
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
        let extension = KeyValue::new("extension", id.to_owned());
        let (rules, attributes) = (Arc::clone(directory), [extension.clone()]);
        meter
            .u64_observable_gauge("longwave_extension_static_rules")
            .with_unit("{rule}")
            .with_description("Rules in force.")
            .with_callback(move |observer| observer.observe(rules.rules().len() as u64, &attributes))
            .build();
        let (stats, attributes) = (Arc::clone(self), [extension.clone()]);
        meter
            .u64_observable_gauge("longwave_extension_static_stale")
            .with_unit("1")
            .with_description("1 while the file cannot be used and older rules are in force.")
            .with_callback(move |observer| {
                observer.observe(u64::from(stats.stale.load(Ordering::Relaxed)), &attributes);
            })
            .build();
        let stats = Arc::clone(self);
        meter
            .u64_observable_counter("longwave_extension_static_reloads")
            .with_unit("{reload}")
            .with_description(
                "Changes of the file, by outcome: `success` is in force, `failure` cannot be used.",
            )
            .with_callback(move |observer| {
                for (outcome, count) in [("success", &stats.reloads), ("failure", &stats.failures)] {
                    let attributes = [extension.clone(), KeyValue::new("outcome", outcome)];
                    observer.observe(count.load(Ordering::Relaxed), &attributes);
                }
            })
            .build();
    }
}
