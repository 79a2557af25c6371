//! Decodes requests with prost and writes them as text, for snapshots.

use std::fmt::Write;

use longwave_pipeline::component::Payload;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, NumberDataPoint};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::otlp::encode::SCHEMA_URL;

/// One data point.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DecodedPoint {
    pub metric: String,
    /// `gauge`, `sum delta monotonic`, `histogram cumulative`, …
    pub kind: String,
    pub attributes: String,
    pub start: u64,
    pub end: u64,
    pub value: DecodedValue,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum DecodedValue {
    Int(i64),
    Double(f64),
    Histogram { count: u64, sum: f64, counts: Vec<u64>, bounds: Vec<f64> },
}

pub(crate) fn decode(payload: &Payload) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest::decode(payload.bytes.clone()).unwrap()
}

/// Returns all points of all payloads, in the order in which they are sent.
pub(crate) fn points(payloads: &[Payload]) -> Vec<DecodedPoint> {
    let mut found = Vec::new();
    for payload in payloads {
        let request = decode(payload);
        let metrics =
            request.resource_metrics.into_iter().flat_map(|r| r.scope_metrics).flat_map(|s| s.metrics);
        for metric in metrics {
            let name = metric.name;
            match metric.data.unwrap() {
                Data::Gauge(gauge) => found.extend(numbers(&name, "gauge".into(), gauge.data_points)),
                Data::Sum(sum) => {
                    let monotonic = if sum.is_monotonic { " monotonic" } else { "" };
                    let kind = format!("sum {}{monotonic}", temporality(sum.aggregation_temporality));
                    found.extend(numbers(&name, kind, sum.data_points));
                }
                Data::Histogram(histogram) => {
                    let kind = format!("histogram {}", temporality(histogram.aggregation_temporality));
                    found.extend(histogram.data_points.into_iter().map(|point| DecodedPoint {
                        metric: name.clone(),
                        kind: kind.clone(),
                        attributes: attributes(&point.attributes),
                        start: point.start_time_unix_nano,
                        end: point.time_unix_nano,
                        value: DecodedValue::Histogram {
                            count: point.count,
                            sum: point.sum.unwrap(),
                            counts: point.bucket_counts,
                            bounds: point.explicit_bounds,
                        },
                    }));
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }
    found
}

fn numbers(name: &str, kind: String, points: Vec<NumberDataPoint>) -> impl Iterator<Item = DecodedPoint> {
    points.into_iter().map(move |point| DecodedPoint {
        metric: name.to_owned(),
        kind: kind.clone(),
        attributes: attributes(&point.attributes),
        start: point.start_time_unix_nano,
        end: point.time_unix_nano,
        value: match point.value.unwrap() {
            Number::AsInt(number) => DecodedValue::Int(number),
            Number::AsDouble(number) => DecodedValue::Double(number),
        },
    })
}

fn temporality(number: i32) -> &'static str {
    match AggregationTemporality::try_from(number).unwrap() {
        AggregationTemporality::Delta => "delta",
        AggregationTemporality::Cumulative => "cumulative",
        AggregationTemporality::Unspecified => "unspecified",
    }
}

pub(crate) fn attributes(attributes: &[KeyValue]) -> String {
    let shown = attributes.iter().map(|pair| {
        let value = pair.value.clone().unwrap().value.unwrap();
        match value {
            Value::StringValue(text) => format!("{}={text:?}", pair.key),
            Value::IntValue(number) => format!("{}={number}", pair.key),
            Value::DoubleValue(number) => format!("{}={number:?}", pair.key),
            Value::BoolValue(value) => format!("{}={value}", pair.key),
            other => panic!("unexpected {other:?}"),
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn resource_and_scope(resource: Option<Resource>, scope: Option<InstrumentationScope>) -> String {
    let (resource, scope) = (resource.unwrap(), scope.unwrap());
    assert_eq!(scope.version, env!("CARGO_PKG_VERSION"));
    format!("resource {}\nscope {}\n", attributes(&resource.attributes), scope.name)
}

/// Writes a metrics request as text.
pub(crate) fn metrics(payload: &Payload) -> String {
    let mut request = decode(payload);
    assert_eq!(request.resource_metrics.len(), 1);
    let mut resource = request.resource_metrics.remove(0);
    assert_eq!(resource.scope_metrics.len(), 1);
    let scope = resource.scope_metrics.remove(0);
    assert_eq!((&*resource.schema_url, &*scope.schema_url), (SCHEMA_URL, SCHEMA_URL));
    let mut out = resource_and_scope(resource.resource, scope.scope);
    let all = points(std::slice::from_ref(payload));
    for metric in scope.metrics {
        let mut own = all.iter().filter(|point| point.metric == metric.name).peekable();
        let kind = &own.peek().unwrap().kind;
        writeln!(out, "{} [{}] {kind}: {}", metric.name, metric.unit, metric.description).unwrap();
        for point in own {
            write!(out, "  {}..{} {{{}}} ", point.start, point.end, point.attributes).unwrap();
            match &point.value {
                DecodedValue::Int(number) => writeln!(out, "{number}").unwrap(),
                DecodedValue::Double(number) => writeln!(out, "{number:?}").unwrap(),
                DecodedValue::Histogram { count, sum, counts, bounds } => {
                    assert_eq!(counts.len(), bounds.len() + 1);
                    let filled = counts.iter().enumerate().filter(|(_, count)| **count > 0);
                    let filled: Vec<_> = filled.map(|(i, n)| format!("≤{:?}: {n}", bounds.get(i))).collect();
                    writeln!(out, "count {count} sum {sum:?} ({})", filled.join(", ")).unwrap();
                }
            }
        }
    }
    out
}

/// Writes a logs request as text.
pub(crate) fn logs(payload: &Payload) -> String {
    let mut request = ExportLogsServiceRequest::decode(payload.bytes.clone()).unwrap();
    assert_eq!(request.resource_logs.len(), 1);
    let mut resource = request.resource_logs.remove(0);
    assert_eq!(resource.scope_logs.len(), 1);
    let scope = resource.scope_logs.remove(0);
    assert_eq!((&*resource.schema_url, &*scope.schema_url), (SCHEMA_URL, SCHEMA_URL));
    let mut out = resource_and_scope(resource.resource, scope.scope);
    for record in scope.log_records {
        let (time, observed) = (record.time_unix_nano, record.observed_time_unix_nano);
        let (number, text) = (record.severity_number, record.severity_text);
        writeln!(out, "{time}/{observed} {number} {text} {}", record.event_name).unwrap();
        let Some(Value::StringValue(body)) = record.body.and_then(|body| body.value) else {
            panic!("no text as body")
        };
        writeln!(out, "  {body:?}").unwrap();
        for pair in &record.attributes {
            writeln!(out, "  {}", attributes(std::slice::from_ref(pair))).unwrap();
        }
    }
    out
}
