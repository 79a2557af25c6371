use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;

use super::*;
use crate::component::{Accepted, Format, SdkReader};

/// *Scenario*: a source is observed as a counter, as a gauge, and by two values of an attribute; it changes between two collections.
/// *Guarantees*: each collection reads the source; every data point has the component's attributes, and `counter_by` adds one more;
/// units and `_total` are part of the names.
#[test]
fn instruments_read_their_source() {
    let reader = SdkReader::default();
    let provider = SdkMeterProvider::builder()
        .with_reader(reader.clone())
        .with_resource(Resource::builder_empty().build())
        .build();
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
    meter.histogram("pass", "s", "Passes.", vec![1.0]).record(0.5, meter.attributes());
    let accepted = Accepted { format: Format::Text, utf8_names: false, gzip: false };
    let page = String::from_utf8(reader.page(accepted).unwrap()).unwrap();
    let points: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        points,
        [
            "age_seconds{extension=\"docker\"} 2.5",
            "events_total{extension=\"docker\"} 5",
            "failures_total{extension=\"docker\",reason=\"lost\"} 5",
            "failures_total{extension=\"docker\",reason=\"refused\"} 6",
            "pass_seconds_bucket{extension=\"docker\",le=\"1\"} 1",
            "pass_seconds_bucket{extension=\"docker\",le=\"+Inf\"} 1",
            "pass_seconds_sum{extension=\"docker\"} 0.5",
            "pass_seconds_count{extension=\"docker\"} 1",
        ]
    );
}
