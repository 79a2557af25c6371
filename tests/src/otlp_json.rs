//! Converts OTLP in JSON (as the Collector writes it) and the JSON of `stdout` into the same form, so that they can be compared.

mod differences;

use std::collections::BTreeMap;

pub use differences::Differences;
use serde_json::{Map, Value};

use crate::time::unix_nanos;

/// One metric point. All values are text in a canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlatPoint {
    /// `longwave.tcp.<level>.<measure>`.
    pub name: String,
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
    /// Start in ns since the epoch. 0 for gauges and for measures that are always cumulative.
    pub start: u64,
    /// End in ns since the epoch.
    pub end: u64,
    /// A number, or `count/sum/[upper:count …]` of a histogram.
    pub value: String,
}

/// One log record: time, event name, attributes.
pub type FlatLog = (u64, String, BTreeMap<String, String>);

/// Aggregation temporality of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temporality {
    /// OTLP's value 1.
    Delta,
    /// OTLP's value 2.
    Cumulative,
    /// None, for gauges.
    None,
}

/// Measures of a series in the JSON of `stdout`. Every other key except `start`, `end` and `level` is an attribute.
const MEASURES: &[&str] = &[
    "sent_bytes",
    "received_bytes",
    "sent_segments",
    "received_segments",
    "retransmits",
    "lost",
    "connected",
    "busy",
    "peer_window_limited",
    "send_buffer_limited",
    "out_of_order",
    "duplicate_sacks",
    "delivered_ce",
    "timeouts",
    "connections.opened",
    "connections.closed",
    "connections.failed",
    "connections.active",
    "rtt",
    "connect.duration",
    "connection.duration",
    "min_rtt",
];

/// Returns whether the points of a measure start with the window. Gauges and measures that are always cumulative do not.
fn has_window_start(name: &str) -> bool {
    !name.ends_with(".connections.active") && !name.ends_with(".min_rtt")
}

/// Returns all points of a body of `/v1/metrics`, and the temporality of each metric by name.
pub fn points(body: &Value) -> (Vec<FlatPoint>, BTreeMap<String, Temporality>) {
    let mut flat = Vec::new();
    let mut temporalities = BTreeMap::new();
    for metric in nested(body, &["resourceMetrics", "scopeMetrics", "metrics"]) {
        let name = text(&metric["name"]);
        for kind in ["sum", "gauge", "histogram"] {
            let Some(data) = metric.get(kind) else { continue };
            let temporality = match data["aggregationTemporality"].as_u64() {
                Some(1) => Temporality::Delta,
                Some(2) => Temporality::Cumulative,
                _ => Temporality::None,
            };
            temporalities.insert(name.clone(), temporality);
            for point in array(&data["dataPoints"]) {
                flat.push(FlatPoint {
                    attributes: attributes(point),
                    start: if has_window_start(&name) { integer(&point["startTimeUnixNano"]) } else { 0 },
                    end: integer(&point["timeUnixNano"]),
                    value: if kind == "histogram" { otlp_histogram(point) } else { otlp_number(point) },
                    name: name.clone(),
                });
            }
        }
    }
    (flat, temporalities)
}

/// Returns all records of a body of `/v1/logs`.
pub fn logs(body: &Value) -> Vec<FlatLog> {
    nested(body, &["resourceLogs", "scopeLogs", "logRecords"])
        .into_iter()
        .map(|log| (integer(&log["timeUnixNano"]), text(&log["eventName"]), attributes(log)))
        .collect()
}

/// Returns the points of one line of a metrics pipeline on `stdout`.
pub fn stdout_points(line: &Map<String, Value>) -> Vec<FlatPoint> {
    let level = line.get("level").map(text).unwrap_or_default();
    let time = |key: &str| line.get(key).and_then(Value::as_str).and_then(unix_nanos).unwrap_or(0);
    let (window_start, end) = (time("start"), time("end"));
    let shared: BTreeMap<String, String> = line
        .iter()
        .filter(|(key, _)| measure_of(key).is_none() && !["start", "end", "level"].contains(&key.as_str()))
        .filter(|(key, value)| !is_unknown_name(key, value))
        .map(|(key, value)| (key.clone(), text(value)))
        .collect();
    let mut flat = Vec::new();
    for (key, value) in line {
        let Some((measure, part)) = measure_of(key) else { continue };
        let mut attributes = shared.clone();
        match (split_attribute(measure), part) {
            // The JSON of `stdout` contains the total and its parts. OTLP contains only the parts.
            (Some(_), None) => continue,
            (Some(attribute), Some(part)) => {
                attributes.insert(attribute.to_owned(), part.to_owned());
            }
            (None, _) => {}
        }
        let name = format!("longwave.tcp.{level}.{measure}");
        let start = if has_window_start(&name) { window_start } else { 0 };
        let value = if value.is_object() { stdout_histogram(value) } else { number(value) };
        flat.push(FlatPoint { name, attributes, start, end, value });
    }
    flat.sort();
    flat
}

/// Returns the measure of a key in the JSON of `stdout`, and its part (`connections.closed.fin` → `fin`).
fn measure_of(key: &str) -> Option<(&'static str, Option<&str>)> {
    if let Some(measure) = MEASURES.iter().find(|measure| **measure == key) {
        return Some((measure, None));
    }
    MEASURES.iter().filter(|measure| split_attribute(measure).is_some()).find_map(|measure| {
        let part = key.strip_prefix(measure)?.strip_prefix('.')?;
        Some((*measure, Some(part)))
    })
}

/// Returns whether the attribute is an unknown name. OTLP has no attribute for it.
fn is_unknown_name(key: &str, value: &Value) -> bool {
    const NAMES: [&str; 5] =
        [".workload.name", ".workload.kind", ".k8s.namespace.name", ".service.name", ".service.namespace"];
    value == "unknown" && NAMES.iter().any(|name| key.ends_with(name))
}

/// Returns the record of one line of a logs pipeline on `stdout`.
pub fn stdout_log(line: &Map<String, Value>) -> FlatLog {
    let attributes = line
        .iter()
        .filter(|(key, _)| !["timestamp", "event_name"].contains(&key.as_str()))
        .filter(|(key, value)| !is_unknown_name(key, value))
        .map(|(key, value)| (key.clone(), text(value)))
        .collect();
    let time = line.get("timestamp").and_then(Value::as_str).and_then(unix_nanos).unwrap_or(0);
    (time, line.get("event_name").map(text).unwrap_or_default(), attributes)
}

/// Returns the attribute by which a measure is split into several points.
fn split_attribute(measure: &str) -> Option<&'static str> {
    match measure {
        "connections.closed" => Some("longwave.close.reason"),
        "connections.failed" => Some("error.type"),
        _ => None,
    }
}

fn nested<'a>(body: &'a Value, path: &[&str]) -> Vec<&'a Value> {
    path.iter()
        .fold(vec![body], |level, key| level.into_iter().flat_map(|value| array(&value[*key])).collect())
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn attributes(holder: &Value) -> BTreeMap<String, String> {
    array(&holder["attributes"])
        .iter()
        .map(|pair| {
            let value = pair["value"].as_object().and_then(|kinds| kinds.iter().next());
            let value = match value {
                Some((kind, value)) if kind == "intValue" || kind == "doubleValue" => number(value),
                Some((_, value)) => text(value),
                None => String::new(),
            };
            (text(&pair["key"]), value)
        })
        .collect()
}

fn otlp_number(point: &Value) -> String {
    point.get("asInt").or_else(|| point.get("asDouble")).map(number).unwrap_or_default()
}

fn otlp_histogram(point: &Value) -> String {
    let bounds = array(&point["explicitBounds"]);
    let buckets = array(&point["bucketCounts"])
        .iter()
        .enumerate()
        .map(|(index, count)| (bounds.get(index).map_or_else(|| "inf".to_owned(), number), integer(count)));
    histogram(integer(&point["count"]), &number(&point["sum"]), buckets)
}

fn stdout_histogram(value: &Value) -> String {
    let buckets = array(&value["buckets"]).iter().map(|pair| {
        let upper = match &pair[0] {
            Value::Number(_) => number(&pair[0]),
            _ => "inf".to_owned(), // JSON has no infinity, so this is null or a string
        };
        (upper, integer(&pair[1]))
    });
    histogram(integer(&value["count"]), &number(&value["sum"]), buckets)
}

fn histogram(count: u64, sum: &str, buckets: impl Iterator<Item = (String, u64)>) -> String {
    let buckets: Vec<String> =
        buckets.filter(|(_, count)| *count > 0).map(|(upper, count)| format!("{upper}:{count}")).collect();
    format!("{count}/{sum}/[{}]", buckets.join(" "))
}

/// Returns an integer, which is a number or, for OTLP's 64-bit integers, text.
fn integer(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

/// Returns a number in the canonical form: `1`, `1.0` and `"1"` are the same. Values above the range of OTLP's signed integers are capped.
fn number(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if let Ok(whole) = text.parse::<u64>() {
        return whole.min(i64::MAX as u64).to_string();
    }
    match text.parse::<f64>() {
        Ok(float) if float.fract() == 0.0 && float.abs() < 9e15 => format!("{float:.0}"),
        Ok(float) => format!("{float:?}"),
        Err(_) => text,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(_) => number(value),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
