use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

use super::*;

/// *Scenario*: a source is observed as a counter, as a gauge, and by two values of an attribute; it changes between two collections.
/// *Guarantees*: each collection reads the source; every data point has the component's attributes, and `counter_by` adds one more.
#[test]
fn instruments_read_their_source() {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .without_counter_suffixes()
        .without_units()
        .scope_info_enabled(false)
        .without_target_info()
        .build()
        .unwrap();
    let provider = SdkMeterProvider::builder().with_reader(exporter).build();
    let meter = ComponentMeter::new(&provider.meter("test"), [("extension", "docker")]);
    let source = Arc::new(AtomicU64::new(1));
    let observed = meter.observe(&source);
    observed.counter("events", "{event}", "Events.", |source| source.load(Ordering::Relaxed));
    observed.gauge("age", "s", "Age.", |source| source.load(Ordering::Relaxed) as f64 / 2.0);
    observed.counter_by("failures", "{failure}", "Failures, by reason.", "reason", |source| {
        let count = source.load(Ordering::Relaxed);
        [("lost", count), ("refused", count + 1)]
    });
    source.store(5, Ordering::Relaxed);
    let page = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let mut points: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
    points.sort_unstable();
    assert_eq!(
        points,
        [
            "age{extension=\"docker\"} 2.5",
            "events{extension=\"docker\"} 5",
            "failures{extension=\"docker\",reason=\"lost\"} 5",
            "failures{extension=\"docker\",reason=\"refused\"} 6",
        ]
    );
}
