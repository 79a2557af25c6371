use std::borrow::Cow;
use std::sync::Arc;

use longwave_pipeline::model::{
    Attributes, Batch, CloseReason, FailReason, Level, Measures, Series, Totals, UnixNanos, Value, Window,
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;

use super::shown::{self, Shown, points};
use super::{MAX_REQUEST_BYTES, MetricsEncoder};
use crate::otlp::Temporality;

pub(super) fn resource() -> Vec<(String, String)> {
    vec![("service.name".into(), "longwave".into()), ("host.name".into(), "node-1".into())]
}

pub(super) fn named(source: &str) -> Arc<Attributes> {
    Arc::new(Attributes(vec![
        (Cow::Borrowed("reporter"), Value::Str("source".into())),
        (Cow::Borrowed("source.workload.name"), Value::Str(source.into())),
        (Cow::Borrowed("destination.port"), Value::Int(443)),
        (Cow::Borrowed("longwave.service.ambiguous"), Value::Bool(true)),
    ]))
}

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
        rtt_min: Some(0.00025),
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

pub(super) fn one(level: Level, attributes: &Arc<Attributes>, created: u64, measures: Measures) -> Series {
    Series { level, attributes: Arc::clone(attributes), created: UnixNanos(created), ended: false, measures }
}

pub(super) fn window(start: u64, series: Vec<Series>) -> Window {
    Window { start: UnixNanos(start), end: UnixNanos(start + 100), series }
}

/// *Scenario*: a window with a service series of everything that can be measured, a workload series, and an idle connection.
/// *Guarantees*: the request says who reports, every metric once with its unit and kind, exact times and values; histograms carry
/// all bounds; what did not happen has no point, plain sums are there even at zero.
#[test]
fn a_delta_window() {
    let (a, b, c) = (named("a"), named("b"), named("c"));
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
    insta::assert_snapshot!("delta", shown::metrics(&payloads[0]));
}

/// *Scenario*: a window without series.
/// *Guarantees*: nothing is sent.
#[test]
fn an_empty_window_has_no_request() {
    for temporality in [Temporality::Delta, Temporality::Cumulative] {
        assert!(MetricsEncoder::new(&resource(), temporality).encode(&window(0, Vec::new())).is_empty());
    }
}

/// *Scenario*: counts beyond what OTLP's signed numbers hold.
/// *Guarantees*: they show as the largest number, not as negative.
#[test]
fn numbers_saturate() {
    let mut measures = Measures::default();
    measures.totals.sent_bytes = u64::MAX;
    let window = window(0, vec![one(Level::Service, &named("a"), 0, measures)]);
    let payloads = MetricsEncoder::new(&resource(), Temporality::Delta).encode(&window);
    assert_eq!(points(&payloads)[0].value, Shown::Int(i64::MAX));
}

/// *Scenario*: the same encoder used for several windows, with a limit that splits each of them.
/// *Guarantees*: no request exceeds the limit; together they hold exactly the points, items and traffic of the window, and nothing
/// is left over for the next.
#[test]
fn large_windows_are_split() {
    const LIMIT: usize = 9_000;
    for temporality in [Temporality::Delta, Temporality::Cumulative] {
        let mut split = MetricsEncoder::with_limit(&resource(), temporality, LIMIT);
        let mut whole = MetricsEncoder::new(&resource(), temporality);
        let attributes: Vec<_> = (0..40).map(|i| named(&format!("workload-{i}"))).collect();
        for round in 0..3 {
            let levels = Level::ALL.into_iter().cycle();
            let series =
                attributes.iter().zip(levels).map(|(a, level)| one(level, a, 0, measures(1))).collect();
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
    let attributes: Vec<_> =
        (0..20_000).map(|i| named(&format!("a-workload-with-a-long-name-{i}"))).collect();
    let series = attributes.iter().map(|a| one(Level::Connection, a, 0, measures(1))).collect();
    let payloads = MetricsEncoder::new(&resource(), Temporality::Delta).encode(&window(0, series));
    assert!(payloads.len() > 1);
    for payload in payloads {
        assert!(payload.bytes.len() <= MAX_REQUEST_BYTES);
        ExportMetricsServiceRequest::decode(payload.bytes).unwrap();
    }
}
