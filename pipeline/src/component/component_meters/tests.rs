use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;

use super::*;
use crate::component::{Accepted, ComponentMeter, Format, SdkReader};

/// The SDK of a test, and the meters of its components.
struct Bench {
    reader: SdkReader,
    _provider: SdkMeterProvider,
    meters: ComponentMeters,
}

/// A component with instruments of each kind.
struct Component {
    source: Arc<AtomicU64>,
    counter: Counter<u64>,
    _scope: MeterScope,
}

impl Bench {
    fn new() -> Self {
        let reader = SdkReader::default();
        let provider = SdkMeterProvider::builder()
            .with_reader(reader.clone())
            .with_resource(Resource::builder_empty().build())
            .build();
        let meters = ComponentMeters::new(provider.meter("test"));
        Self { reader, _provider: provider, meters }
    }

    /// Starts a component that has observed `count` events.
    fn start(&self, id: &str, count: u64) -> Component {
        let (meter, scope) = self.meters.make();
        let meter = ComponentMeter::new(&meter, [("extension", id)]);
        let source = Arc::new(AtomicU64::new(count));
        let observed = meter.observe(&source);
        observed.counter("events", "", "Events.", |source| source.load(Ordering::Relaxed));
        observed.counter("time", "s", "Time.", |source| source.load(Ordering::Relaxed) as f64 / 2.0);
        observed.gauge("size", "", "Size.", |source| source.load(Ordering::Relaxed));
        let counter = meter.counter("writes", "", "Writes.");
        counter.add(count, meter.attributes());
        Component { source, counter, _scope: scope }
    }

    fn points(&self) -> Vec<String> {
        let accepted = Accepted { format: Format::Text, utf8_names: false, gzip: false };
        let page = String::from_utf8(self.reader.page(accepted).unwrap()).unwrap();
        page.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }
}

/// *Scenario*: a component ends; later, another one with the same id starts; a component with another id goes on.
/// *Guarantees*: counters never go back, and continue with those of the second component; the gauge of the component that has ended is gone;
/// the other component's points stay. What has ended is freed.
#[test]
fn counters_continue_and_gauges_end() {
    let bench = Bench::new();
    let (first, other) = (bench.start("a", 4), bench.start("b", 1));
    let all = [
        "events_total{extension=\"a\"} 4",
        "events_total{extension=\"b\"} 1",
        "size{extension=\"a\"} 4",
        "size{extension=\"b\"} 1",
        "time_seconds_total{extension=\"a\"} 2",
        "time_seconds_total{extension=\"b\"} 0.5",
        "writes_total{extension=\"a\"} 4",
        "writes_total{extension=\"b\"} 1",
    ];
    assert_eq!(bench.points(), all);
    // The change since the last collection is not lost.
    first.source.store(6, Ordering::Relaxed);
    let source: Weak<AtomicU64> = Arc::downgrade(&first.source);
    drop(first);
    assert!(source.upgrade().is_none());
    let without = [
        "events_total{extension=\"a\"} 6",
        "events_total{extension=\"b\"} 1",
        "size{extension=\"b\"} 1",
        "time_seconds_total{extension=\"a\"} 3",
        "time_seconds_total{extension=\"b\"} 0.5",
        "writes_total{extension=\"a\"} 4",
        "writes_total{extension=\"b\"} 1",
    ];
    assert_eq!(bench.points(), without);
    let second = bench.start("a", 10);
    second.counter.add(1, &[KeyValue::new("extension", "a")]);
    let again = [
        "events_total{extension=\"a\"} 16",
        "events_total{extension=\"b\"} 1",
        "size{extension=\"a\"} 10",
        "size{extension=\"b\"} 1",
        "time_seconds_total{extension=\"a\"} 8",
        "time_seconds_total{extension=\"b\"} 0.5",
        "writes_total{extension=\"a\"} 15",
        "writes_total{extension=\"b\"} 1",
    ];
    assert_eq!(bench.points(), again);
    drop((second, other));
}

/// *Scenario*: 1,000 components with one id, one after the other.
/// *Guarantees*: the instruments keep the values of one component, however many there were.
#[test]
fn ended_components_leave_one_value() {
    let bench = Bench::new();
    for _ in 0..1000 {
        drop(bench.start("a", 1));
    }
    let table = lock(&bench.meters.instruments.integers);
    for ((name, _), registered) in table.iter() {
        let observations = lock(&registered.observations);
        assert!(observations.callbacks.is_empty() && observations.ended.len() <= 1, "{name}");
    }
    drop(table);
    assert!(
        bench.points().contains(&"events_total{extension=\"a\"} 1000".to_owned()),
        "{:?}",
        bench.points()
    );
}

/// *Scenario*: the instruments of a component, and those of one that has ended, move to another SDK; later more is counted.
/// *Guarantees*: the other SDK has all values, which go on. Nothing of the former SDK is kept.
#[test]
fn values_move_to_another_sdk() {
    let Bench { reader, _provider: provider, meters } = Bench::new();
    let former = Bench { reader, _provider: provider, meters: meters.clone() };
    drop(former.start("ended", 2));
    let component = former.start("a", 4);
    let Bench { reader, _provider: provider, .. } = Bench::new();
    meters.move_to(&provider.meter("test"));
    let bench = Bench { reader, _provider: provider, meters };
    component.source.store(6, Ordering::Relaxed);
    component.counter.add(1, &[KeyValue::new("extension", "a")]);
    let expected = [
        "events_total{extension=\"a\"} 6",
        "events_total{extension=\"ended\"} 2",
        "size{extension=\"a\"} 6",
        "time_seconds_total{extension=\"a\"} 3",
        "time_seconds_total{extension=\"ended\"} 1",
        "writes_total{extension=\"a\"} 5",
        "writes_total{extension=\"ended\"} 2",
    ];
    assert_eq!(bench.points(), expected);
    let source = Arc::downgrade(&component.source);
    drop((former, component));
    assert!(source.upgrade().is_none());
}
