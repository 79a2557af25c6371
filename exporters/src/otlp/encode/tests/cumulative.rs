use std::collections::HashMap;
use std::sync::Arc;

use longwave_pipeline::model::{CloseReason, FailReason, Level, Measures, Series};
use proptest::prelude::*;

use super::decoded::{self, DecodedPoint, DecodedValue, points};
use super::{named, one, resource, window};
use crate::otlp::Temporality;
use crate::otlp::encode::MetricsEncoder;

/// *Scenario*: three windows. A series closes a connection and measures a round trip in the first, sends a few bytes in the second, and
/// ends in the third. Then it returns with a new creation time.
/// *Guarantees*: sums, histograms and reasons continue from window to window with the creation as their start, also those that did not
/// change. The active connections and the lowest round trip are those of the window. After the end all sums start again. No state is kept
/// for an ended series.
#[test]
fn three_windows_an_end_and_a_return() {
    let mut encoder = MetricsEncoder::new(&resource(), Temporality::Cumulative);
    let key = named("a");
    let mut first = Measures { opened: 2, active: 1, min_rtt: Some(0.5), ..Measures::default() };
    first.totals.sent_bytes = 100;
    first.count_closed(CloseReason::Fin);
    first.count_failed(FailReason::Refused, 1);
    first.rtt.record(0.5);
    let mut second = Measures { active: 1, ..Measures::default() };
    second.totals.sent_bytes = 11;
    let mut third = Measures::default();
    third.count_closed(CloseReason::Timeout);
    third.rtt.record(0.25);
    let mut text = String::new();
    let returned = Arc::new((*key).clone());
    let steps = [
        (0, &key, 0, false, first.clone()),
        (100, &key, 0, false, second),
        (200, &key, 0, true, third),
        (300, &returned, 300, false, first),
    ];
    for (start, key, created, ended, measures) in steps {
        let series = Series { ended, ..one(Level::Service, key, created, measures) };
        let window = window(start, vec![series]);
        let payloads = encoder.encode(&window);
        // Repeated sums are sent, but not counted.
        assert_eq!(payloads[0].items, window.point_count());
        assert_eq!(encoder.series_count(), usize::from(!ended));
        text += &decoded::metrics(&payloads[0]);
        text.push('\n');
    }
    insta::assert_snapshot!("cumulative", text);
}

/// *Scenario*: a series returns at the same address with a new creation time. No window marked its end.
/// *Guarantees*: the new creation time starts new sums.
#[test]
fn a_new_creation_starts_again() {
    let mut encoder = MetricsEncoder::new(&resource(), Temporality::Cumulative);
    let key = named("a");
    let opened = |created| {
        let measures = Measures { opened: 5, ..Measures::default() };
        window(created, vec![one(Level::Service, &key, created, measures)])
    };
    let value = |payloads: &[_]| points(payloads).into_iter().find(|p| p.metric.ends_with("opened")).unwrap();
    assert_eq!(value(&encoder.encode(&opened(0))).value, DecodedValue::Int(5));
    let again = value(&encoder.encode(&opened(100)));
    assert_eq!((again.value, again.start), (DecodedValue::Int(5), 100));
}

/// *Scenario*: series of two levels share one allocation of the key.
/// *Guarantees*: their sums are kept separately.
#[test]
fn levels_do_not_mix() {
    let mut encoder = MetricsEncoder::new(&resource(), Temporality::Cumulative);
    let key = named("a");
    let series = |level, opened| one(level, &key, 0, Measures { opened, ..Measures::default() });
    encoder.encode(&window(0, vec![series(Level::Service, 1), series(Level::Workload, 10)]));
    let payloads = encoder.encode(&window(100, vec![series(Level::Service, 1), series(Level::Workload, 10)]));
    let opened: Vec<_> = points(&payloads).into_iter().filter(|p| p.metric.ends_with("opened")).collect();
    assert_eq!(
        opened.iter().map(|p| p.value.clone()).collect::<Vec<_>>(),
        [DecodedValue::Int(2), DecodedValue::Int(20)]
    );
}

/// Events of one series in one window. Samples are whole seconds, so that sums of floats are exact.
#[derive(Clone, Debug)]
struct SeriesStep {
    sent: u64,
    opened: u64,
    closed: Option<usize>,
    failed: Option<u16>,
    rtt: Option<u8>,
    present: bool,
    ended: bool,
}

fn step() -> impl Strategy<Value = SeriesStep> {
    let numbers = (0..u64::from(u32::MAX), 0..9u64);
    let events = (prop::option::of(0..6usize), prop::option::of(60..64u16), prop::option::of(any::<u8>()));
    let life = (prop::bool::weighted(0.9), prop::bool::weighted(0.2));
    (numbers, events, life).prop_map(|((sent, opened), (closed, failed, rtt), (present, ended))| SeriesStep {
        sent,
        opened,
        closed,
        failed,
        rtt,
        present,
        ended,
    })
}

fn measures_of(step: &SeriesStep) -> Measures {
    let mut measures = Measures { opened: step.opened, active: step.opened, ..Measures::default() };
    measures.totals.sent_bytes = step.sent;
    if let Some(index) = step.closed {
        measures.count_closed(CloseReason::ALL[index]);
    }
    if let Some(errno) = step.failed {
        measures.count_failed(FailReason::Errno(errno), 2);
    }
    if let Some(seconds) = step.rtt {
        measures.rtt.record(seconds.into());
    }
    measures
}

type Streams = HashMap<(String, String), DecodedPoint>;

fn streams(points: Vec<DecodedPoint>) -> Streams {
    points.into_iter().map(|point| ((point.metric.clone(), point.attributes.clone()), point)).collect()
}

/// Returns the difference of two sums; for `active` and gauges, the later value.
fn difference(later: &DecodedPoint, earlier: Option<&DecodedPoint>) -> DecodedValue {
    let earlier =
        earlier.filter(|p| p.start == later.start && !later.metric.ends_with("active")).map(|p| &p.value);
    match (&later.value, earlier) {
        (DecodedValue::Int(b), Some(DecodedValue::Int(a))) => DecodedValue::Int(b - a),
        (
            DecodedValue::Histogram { count, sum, counts, bounds },
            Some(DecodedValue::Histogram { count: count0, sum: sum0, counts: counts0, .. }),
        ) => DecodedValue::Histogram {
            count: count - count0,
            sum: sum - sum0,
            counts: counts.iter().zip(counts0).map(|(b, a)| b - a).collect(),
            bounds: bounds.clone(),
        },
        (value, _) => value.clone(),
    }
}

fn is_zero(value: &DecodedValue) -> bool {
    matches!(value, DecodedValue::Int(0) | DecodedValue::Histogram { count: 0, .. })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// *Scenario*: four series over up to twelve windows are idle, absent, end and return at random, and are encoded with both
    /// temporalities.
    /// *Guarantees*: for each stream, cumulative(t) − cumulative(t−1) = delta(t). A start changes only when the series is created again. A
    /// stream never disappears while its series is reported. No state is kept for an ended series.
    #[test]
    fn differences_of_cumulative_are_delta(rounds in prop::collection::vec(prop::collection::vec(step(), 4), 1..12)) {
        let mut delta = MetricsEncoder::new(&resource(), Temporality::Delta);
        let mut cumulative = MetricsEncoder::new(&resource(), Temporality::Cumulative);
        let mut living: Vec<_> = (0..4).map(|_| None).collect();
        let mut previous = Streams::new();
        for (round, steps) in rounds.iter().enumerate() {
            let start = round as u64 * 100;
            let mut series = Vec::new();
            for (index, step) in steps.iter().enumerate().filter(|(_, step)| step.present) {
                let (key, created) = living[index].get_or_insert_with(|| (named(&format!("w{index}")), start)).clone();
                series.push(Series { ended: step.ended, ..one(Level::Workload, &key, created, measures_of(step)) });
            }
            let window = window(start, series);
            let deltas = streams(points(&delta.encode(&window)));
            let sums = streams(points(&cumulative.encode(&window)));
            for (key, sum) in &sums {
                let change = difference(sum, previous.get(key));
                match deltas.get(key) {
                    Some(delta) => prop_assert_eq!(&delta.value, &change, "{:?}", key),
                    None => prop_assert!(is_zero(&change), "{:?} changed by {:?}", key, change),
                }
            }
            prop_assert!(deltas.keys().all(|key| sums.contains_key(key)));
            let mut remaining: Streams = previous.drain().filter(|(key, _)| !sums.contains_key(key)).collect();
            remaining.extend(sums);
            for (index, step) in steps.iter().enumerate().filter(|(_, step)| step.present && step.ended) {
                living[index] = None;
                remaining.retain(|(_, attributes), _| !attributes.contains(&format!("\"w{index}\"")));
                let _ = step;
            }
            previous = remaining;
            prop_assert_eq!(cumulative.series_count(), living.iter().flatten().count());
        }
    }
}
