use serde_json::json;

use super::{Temporality, logs, points, stdout_log, stdout_points};

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
