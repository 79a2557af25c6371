use std::collections::BTreeMap;

use serde_json::json;

use super::{Differences, FlatPoint, Temporality, logs, points, stdout_log, stdout_points};

/// *Scenario*: the same series in the JSON of OTLP and of `stdout`.
/// *Guarantees*: names, times, attributes, numbers and histograms are equal.
#[test]
fn metrics_compare() {
    let attributes = json!([{"key": "reporter", "value": {"stringValue": "source"}}]);
    let body = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [
        {"name": "longwave.tcp.workload.sent_bytes", "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints":
            [{"attributes": attributes, "startTimeUnixNano": "0", "timeUnixNano": "1000000000", "asInt": "7"}]}},
        {"name": "longwave.tcp.workload.connections.closed", "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints":
            [{"attributes": [attributes[0], {"key": "longwave.close.reason", "value": {"stringValue": "fin"}}],
            "startTimeUnixNano": "0", "timeUnixNano": "1000000000", "asInt": "2"}]}},
        {"name": "longwave.tcp.workload.rtt", "histogram": {"aggregationTemporality": 1, "dataPoints": [{"attributes": attributes,
            "startTimeUnixNano": "0", "timeUnixNano": "1000000000", "count": "3", "sum": 0.25,
            "bucketCounts": ["0", "2", "1"], "explicitBounds": [0.1, 1]}]}},
    ]}]}]});
    let line = json!({"start": "1970-01-01T00:00:00Z", "end": "1970-01-01T00:00:01Z", "level": "workload", "reporter": "source",
        "sent_bytes": 7, "connections.closed": 2, "connections.closed.fin": 2, "rtt": {"count": 3, "sum": 0.25, "buckets": [[0.1, 0], [1.0, 2], [null, 1]]}});
    let (mut flat, temporalities) = points(&body);
    flat.sort();
    assert_eq!(flat, stdout_points(line.as_object().unwrap()));
    assert_eq!(temporalities["longwave.tcp.workload.rtt"], Temporality::Delta);
}

/// *Scenario*: the same record in the JSON of OTLP and of `stdout`, with numbers in different forms.
/// *Guarantees*: the two are equal.
#[test]
fn logs_compare() {
    let body = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "5", "eventName": "e", "attributes": [
        {"key": "n", "value": {"intValue": "12"}}, {"key": "d", "value": {"doubleValue": 1}}, {"key": "b", "value": {"boolValue": true}}]}]}]}]});
    let line = json!({"timestamp": "1970-01-01T00:00:00.000000005Z", "event_name": "e", "n": 12, "d": 1.0, "b": true});
    assert_eq!(logs(&body), [stdout_log(line.as_object().unwrap())]);
}

fn sum(start: u64, end: u64, value: &str) -> FlatPoint {
    let (name, attributes) = ("longwave.tcp.workload.rtt".to_owned(), BTreeMap::new());
    FlatPoint { name, attributes, start, end, value: value.to_owned() }
}

/// Returns the values and starts of the differences of points that arrive one after the other.
fn differences(points: &[FlatPoint], temporality: Temporality) -> Vec<(u64, String)> {
    let mut differences = Differences::default();
    let temporalities = BTreeMap::from([("longwave.tcp.workload.rtt".to_owned(), temporality)]);
    let all = points.iter().flat_map(|point| differences.of(vec![point.clone()], &temporalities));
    all.map(|point| (point.start, point.value)).collect()
}

/// *Scenario*: a number, a sum of seconds and a histogram of a series that starts again, cumulative and delta. One point arrives twice.
/// *Guarantees*: cumulative values become those of the windows, also after the new start. Delta values stay as they are.
#[test]
fn cumulative_points_become_windows() {
    let numbers = [sum(1, 2, "5"), sum(1, 3, "5"), sum(1, 4, "12"), sum(1, 4, "12"), sum(4, 5, "3")];
    let of = |points: &[FlatPoint]| differences(points, Temporality::Cumulative);
    let text = |start: u64, value: &str| (start, value.to_owned());
    assert_eq!(of(&numbers), [text(1, "5"), text(2, "0"), text(3, "7"), text(4, "3")]);
    let seconds = [sum(1, 2, "0.25"), sum(1, 3, "1"), sum(1, 4, "1.5")];
    assert_eq!(of(&seconds), [text(1, "0.25"), text(2, "0.75"), text(3, "0.5")]);
    let histograms = [sum(1, 2, "2/1.5/[0.5:1 1:1]"), sum(1, 3, "3/4/[0.5:1 1:1 inf:1]")];
    assert_eq!(of(&histograms), [text(1, "2/1.5/[0.5:1 1:1]"), text(2, "1/2.5/[inf:1]")]);
    assert_eq!(differences(&numbers[..2], Temporality::Delta), [text(1, "5"), text(1, "5")]);
}

/// *Scenario*: a sum that is less than the one before it.
/// *Guarantees*: it is refused.
#[test]
#[should_panic(expected = "a sum fell")]
fn a_sum_that_falls_is_refused() {
    differences(&[sum(1, 2, "5"), sum(1, 3, "4")], Temporality::Cumulative);
}

/// *Scenario*: a point that is older than the one before it.
/// *Guarantees*: it is refused, with either temporality.
#[test]
#[should_panic(expected = "an older point arrived")]
fn an_older_point_is_refused() {
    differences(&[sum(2, 3, "5"), sum(1, 2, "4")], Temporality::Delta);
}
