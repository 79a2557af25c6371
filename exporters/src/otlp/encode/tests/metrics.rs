use std::sync::Arc;

use longwave_pipeline::model::{Batch, CloseReason, FailReason, Level, Measures, Rung, Totals, UnixNanos};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;

use super::decoded::{self, DecodedValue, points};
use super::{connection, named, one, resource, window};
use crate::otlp::Temporality;
use crate::otlp::encode::{MAX_REQUEST_BYTES, MetricsEncoder};

fn measures(scale: u64) -> Measures {
    let mut measures = Measures {
        totals: Totals {
            sent_bytes: 1000 * scale,
            received_bytes: 500 * scale,
            sent_segments: 10 * scale,
            received_segments: 9 * scale,
            data_segments: 8 * scale,
            retransmits: scale,
            lost: 0,
        },
        opened: scale,
        active: 3,
        min_rtt: Some(0.00025),
        ..Measures::default()
    };
    measures.count_closed(CloseReason::Fin);
    measures.count_closed(CloseReason::ResetReceived);
    measures.count_failed(FailReason::Refused, scale);
    measures.count_failed(FailReason::Errno(71), 1);
    measures.rtt.record(0.0005);
    measures.rtt.record(60.0);
    measures.connection_duration.record(2.0);
    measures
}

/// *Scenario*: a window with a service series that has a value for every measure, a workload series, and an idle connection.
/// *Guarantees*: the request has the resource, every metric once with its unit and kind, and exact times and values. Histograms have all
/// bounds. Plain sums have a point even at zero, other metrics only if there was an event.
#[test]
fn a_delta_window() {
    let (a, b, c) = (named("a"), named("b"), connection("c"));
    let series = vec![
        one(Level::Service, &a, 0, measures(1)),
        one(Level::Workload, &b, 100, measures(2)),
        one(Level::Connection, &c, 0, Measures::default()),
    ];
    let window = window(100, series);
    let payloads = MetricsEncoder::new(&resource(), Temporality::Delta).encode(&window);
    assert_eq!(payloads.len(), 1);
    assert_eq!(payloads[0].items, window.point_count());
    assert_eq!(payloads[0].traffic_bytes, 1500);
    insta::assert_snapshot!("delta", decoded::metrics(&payloads[0]));
}

/// *Scenario*: a series of a connection, and the same folded by namespaces.
/// *Guarantees*: the folded points, numbers and histograms, have only the attributes that remain, and the rung. So a sum over all series by
/// any attribute contains each byte once.
#[test]
fn folded_series_have_no_finer_attributes() {
    let key = connection("c");
    let folded = Arc::new(key.folded(Rung::Namespace).unwrap());
    let series = [key, folded].map(|key| one(Level::Connection, &key, 0, measures(1)));
    let payloads = MetricsEncoder::new(&resource(), Temporality::Delta).encode(&window(100, series.into()));
    let points = points(&payloads);
    for metric in ["longwave.tcp.connection.sent_bytes", "longwave.tcp.connection.rtt"] {
        let mut of_metric =
            points.iter().filter(|point| point.metric == metric).map(|point| &*point.attributes);
        assert!(of_metric.next().unwrap().contains("source.address="));
        assert_eq!(of_metric.next(), Some("reporter=\"source\" longwave.folded=\"namespace\""));
        assert_eq!(of_metric.next(), None);
    }
}

/// *Scenario*: a window without series.
/// *Guarantees*: nothing is sent.
#[test]
fn an_empty_window_has_no_request() {
    for temporality in [Temporality::Delta, Temporality::Cumulative] {
        assert!(MetricsEncoder::new(&resource(), temporality).encode(&window(0, Vec::new())).is_empty());
    }
}

/// *Scenario*: a Longwave that starts within a window, in which another Longwave exported the same series before it; and one that replays
/// windows of another time.
/// *Guarantees*: in the first case no point of the first window, and no sum of its series, starts before the Longwave does. Later starts and
/// all starts of the second case are those of windows and series.
#[test]
fn nothing_starts_before_longwave() {
    let key = named("a");
    let starts = |temporality, since, first| -> Vec<u64> {
        let mut encoder = MetricsEncoder::new(&resource(), temporality).observed_since(UnixNanos(since));
        let windows = [first, first + 100]
            .map(|start| window(start, vec![one(Level::Service, &key, first, measures(1))]));
        let all = windows.iter().flat_map(|window| {
            let mut starts: Vec<_> =
                points(&encoder.encode(window)).iter().map(|point| point.start).collect();
            starts.sort_unstable();
            starts.dedup();
            starts
        });
        all.collect()
    };
    // `connections.active` is cumulative and `min_rtt` is a gauge with either temporality.
    assert_eq!(starts(Temporality::Cumulative, 140, 100), [140, 140, 200]);
    assert_eq!(starts(Temporality::Delta, 140, 100), [140, 140, 200]);
    // An exporter that a reload has created, shortly before a boundary.
    let mut encoder = MetricsEncoder::new(&resource(), Temporality::Cumulative).observed_since(UnixNanos(90));
    let old = window(100, vec![one(Level::Service, &key, 20, measures(1))]);
    assert!(points(&encoder.encode(&old)).iter().any(|point| point.start == 90));
    for (since, first) in [(0, 100), (99, 100), (100, 100), (200, 100), (1_000, 100)] {
        assert_eq!(starts(Temporality::Cumulative, since, first), [100, 100, 200], "{since}");
        assert_eq!(starts(Temporality::Delta, since, first), [100, 100, 200], "{since}");
    }
}

/// *Scenario*: counts above the maximum of OTLP's signed numbers.
/// *Guarantees*: they are encoded as the largest number, not as a negative one.
#[test]
fn numbers_saturate() {
    let mut measures = Measures::default();
    measures.totals.sent_bytes = u64::MAX;
    let window = window(0, vec![one(Level::Service, &named("a"), 0, measures)]);
    let payloads = MetricsEncoder::new(&resource(), Temporality::Delta).encode(&window);
    assert_eq!(points(&payloads)[0].value, DecodedValue::Int(i64::MAX));
}

/// *Scenario*: one encoder encodes several windows, with a limit that splits each of them.
/// *Guarantees*: no request exceeds the limit. Together the requests contain exactly the points, items and traffic of the window. Nothing
/// remains for the next window.
#[test]
fn large_windows_are_split() {
    const LIMIT: usize = 9_000;
    for temporality in [Temporality::Delta, Temporality::Cumulative] {
        let mut split = MetricsEncoder::with_limit(&resource(), temporality, LIMIT);
        let mut whole = MetricsEncoder::new(&resource(), temporality);
        let keys: Vec<_> = (0..40).map(|i| named(&format!("workload-{i}"))).collect();
        for round in 0..3 {
            let levels = Level::ALL.into_iter().cycle();
            let series =
                keys.iter().zip(levels).map(|(key, level)| one(level, key, 0, measures(1))).collect();
            let batch = Arc::new(window(round * 100, series));
            let payloads = split.encode(&batch);
            assert!(payloads.len() > 2);
            for payload in &payloads {
                assert!(payload.bytes.len() <= LIMIT, "{}", payload.bytes.len());
                assert!(payload.bytes.len() > LIMIT / 2 || payload.items == payloads.last().unwrap().items);
            }
            assert_eq!(payloads.iter().map(|p| p.items).sum::<u64>(), batch.point_count());
            assert_eq!(
                payloads.iter().map(|p| p.traffic_bytes).sum::<u64>(),
                Batch::Window(Arc::clone(&batch)).traffic_bytes()
            );
            let sorted = |payloads: &[_]| {
                let mut lines: Vec<_> = points(payloads).iter().map(|point| format!("{point:?}")).collect();
                lines.sort();
                lines
            };
            assert_eq!(sorted(&payloads), sorted(&whole.encode(&batch)));
        }
    }
}

/// *Scenario*: 20,000 connections in one window.
/// *Guarantees*: every request stays below gRPC's default limit of 4 MiB, and decodes.
#[test]
fn requests_stay_below_the_limit_of_grpc() {
    let keys: Vec<_> = (0..20_000).map(|i| named(&format!("a-workload-with-a-long-name-{i}"))).collect();
    let series = keys.iter().map(|key| one(Level::Connection, key, 0, measures(1))).collect();
    let payloads = MetricsEncoder::new(&resource(), Temporality::Delta).encode(&window(0, series));
    assert!(payloads.len() > 1);
    for payload in payloads {
        assert!(payload.bytes.len() <= MAX_REQUEST_BYTES);
        ExportMetricsServiceRequest::decode(payload.bytes).unwrap();
    }
}

/// *Scenario*: a window with more points than a request may have.
/// *Guarantees*: no request has more points than the limit, and together they have the points of the window.
#[test]
fn points_are_limited() {
    let (a, b) = (named("a"), named("b"));
    let series = vec![one(Level::Service, &a, 0, measures(1)), one(Level::Workload, &b, 100, measures(2))];
    let window = window(100, series);
    let whole = MetricsEncoder::new(&resource(), Temporality::Delta).encode(&window);
    let parts = MetricsEncoder::new(&resource(), Temporality::Delta).with_max_points(7).encode(&window);
    let counts = parts.iter().map(|part| points(std::slice::from_ref(part)).len());
    assert!(counts.clone().all(|count| count <= 7), "{:?}", counts.collect::<Vec<_>>());
    assert_eq!(parts.iter().map(|part| part.items).sum::<u64>(), window.point_count());
    let (all, expected) = (points(&parts), points(&whole));
    assert_eq!(all.len(), expected.len());
    assert!(expected.iter().all(|point| all.contains(point)));
}
