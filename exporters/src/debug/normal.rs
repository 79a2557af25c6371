//! `verbosity: normal`: a line for each point or log record.

use std::fmt::Write;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, NumberDataPoint};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::format::{Pairs, Plain, Shortest};

pub(super) fn metrics(request: &ExportMetricsServiceRequest) -> String {
    let mut out = String::new();
    for (index, of_resource) in request.resource_metrics.iter().enumerate() {
        put_resource(
            &mut out,
            "ResourceMetrics",
            index,
            &of_resource.schema_url,
            of_resource.resource.as_ref(),
        );
        for (index, of_scope) in of_resource.scope_metrics.iter().enumerate() {
            put_scope(&mut out, "ScopeMetrics", index, &of_scope.schema_url, of_scope.scope.as_ref());
            for metric in &of_scope.metrics {
                match &metric.data {
                    Some(Data::Gauge(gauge)) => {
                        gauge.data_points.iter().for_each(|point| put_number(&mut out, &metric.name, point));
                    }
                    Some(Data::Sum(sum)) => {
                        sum.data_points.iter().for_each(|point| put_number(&mut out, &metric.name, point));
                    }
                    Some(Data::Histogram(histogram)) => {
                        histogram
                            .data_points
                            .iter()
                            .for_each(|point| put_histogram(&mut out, &metric.name, point));
                    }
                    // Longwave exports no other kinds.
                    _ => {}
                }
            }
        }
    }
    out
}

pub(super) fn logs(request: &ExportLogsServiceRequest) -> String {
    let mut out = String::new();
    for (index, of_resource) in request.resource_logs.iter().enumerate() {
        put_resource(&mut out, "ResourceLog", index, &of_resource.schema_url, of_resource.resource.as_ref());
        for (index, of_scope) in of_resource.scope_logs.iter().enumerate() {
            put_scope(&mut out, "ScopeLog", index, &of_scope.schema_url, of_scope.scope.as_ref());
            for record in &of_scope.log_records {
                let attributes = Pairs { attributes: &record.attributes, separator: " " };
                put(&mut out, format_args!("{} {attributes}\n", Plain(record.body.as_ref())));
            }
        }
    }
    out
}

fn put_resource(out: &mut String, kind: &str, index: usize, schema: &str, resource: Option<&Resource>) {
    put(out, format_args!("{kind} #{index}"));
    put_schema(out, schema);
    put_attributes(out, resource.map_or(&[], |resource| &resource.attributes));
}

fn put_scope(out: &mut String, kind: &str, index: usize, schema: &str, scope: Option<&InstrumentationScope>) {
    put(out, format_args!("{kind} #{index}"));
    if let Some(InstrumentationScope { name, version, .. }) = scope {
        put(out, format_args!(" {name}@{version}"));
    }
    put_schema(out, schema);
    put_attributes(out, scope.map_or(&[], |scope| &scope.attributes));
}

fn put_schema(out: &mut String, schema: &str) {
    if !schema.is_empty() {
        put(out, format_args!(" [{schema}]"));
    }
}

/// Ends the line of a resource or a scope.
fn put_attributes(out: &mut String, attributes: &[KeyValue]) {
    if !attributes.is_empty() {
        put(out, format_args!(" {}", Pairs { attributes, separator: " " }));
    }
    out.push('\n');
}

fn put_number(out: &mut String, name: &str, point: &NumberDataPoint) {
    put(out, format_args!("{name}{{{}}} ", Pairs { attributes: &point.attributes, separator: "," }));
    match point.value {
        Some(Value::AsInt(number)) => put(out, format_args!("{number}\n")),
        Some(Value::AsDouble(number)) => put(out, format_args!("{}\n", Shortest(number))),
        None => out.push('\n'),
    }
}

fn put_histogram(out: &mut String, name: &str, point: &HistogramDataPoint) {
    let attributes = Pairs { attributes: &point.attributes, separator: "," };
    put(out, format_args!("{name}{{{attributes}}} count={}", point.count));
    for (field, value) in [("sum", point.sum), ("min", point.min), ("max", point.max)] {
        if let Some(value) = value {
            put(out, format_args!(" {field}={}", Shortest(value)));
        }
    }
    for (index, count) in point.bucket_counts.iter().enumerate() {
        match point.explicit_bounds.get(index) {
            Some(bound) => put(out, format_args!(" le{}={count}", Shortest(*bound))),
            None => put(out, format_args!(" {count}")),
        }
    }
    out.push('\n');
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
}
