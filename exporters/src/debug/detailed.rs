//! `verbosity: detailed`: all fields.

use std::fmt::{Arguments, Write};

use longwave_pipeline::component::visible::Visible;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::format::{Time, Typed};

/// Lines of a request.
#[derive(Default)]
struct Lines(String);

pub(super) fn metrics(request: &ExportMetricsServiceRequest) -> String {
    let mut lines = Lines::default();
    for (index, of_resource) in request.resource_metrics.iter().enumerate() {
        lines.put(format_args!("ResourceMetrics #{index}"));
        lines.put_resource(&of_resource.schema_url, of_resource.resource.as_ref());
        for (index, of_scope) in of_resource.scope_metrics.iter().enumerate() {
            lines.put_scope("ScopeMetrics", index, &of_scope.schema_url, of_scope.scope.as_ref());
            for (index, metric) in of_scope.metrics.iter().enumerate() {
                lines.put(format_args!("Metric #{index}"));
                lines.put_metric(metric);
            }
        }
    }
    lines.0
}

pub(super) fn logs(request: &ExportLogsServiceRequest) -> String {
    let mut lines = Lines::default();
    for (index, of_resource) in request.resource_logs.iter().enumerate() {
        lines.put(format_args!("ResourceLog #{index}"));
        lines.put_resource(&of_resource.schema_url, of_resource.resource.as_ref());
        for (index, of_scope) in of_resource.scope_logs.iter().enumerate() {
            lines.put_scope("ScopeLogs", index, &of_scope.schema_url, of_scope.scope.as_ref());
            for (index, record) in of_scope.log_records.iter().enumerate() {
                lines.put(format_args!("LogRecord #{index}"));
                lines.put_record(record);
            }
        }
    }
    lines.0
}

// === impl Lines ===

impl Lines {
    fn put(&mut self, line: Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.0.write_fmt(line);
        self.0.push('\n');
    }

    fn put_attributes(&mut self, header: &str, attributes: &[KeyValue]) {
        if attributes.is_empty() {
            return;
        }
        self.put(format_args!("{header}:"));
        for KeyValue { key, value, .. } in attributes {
            self.put(format_args!("     -> {}: {}", Visible(key), Typed(value.as_ref())));
        }
    }

    fn put_resource(&mut self, schema: &str, resource: Option<&Resource>) {
        self.put(format_args!("Resource SchemaURL: {schema}"));
        self.put_attributes("Resource attributes", resource.map_or(&[], |resource| &resource.attributes));
    }

    fn put_scope(&mut self, kind: &str, index: usize, schema: &str, scope: Option<&InstrumentationScope>) {
        self.put(format_args!("{kind} #{index}"));
        self.put(format_args!("{kind} SchemaURL: {schema}"));
        let InstrumentationScope { name, version, attributes, .. } = scope.cloned().unwrap_or_default();
        self.put(format_args!("InstrumentationScope {name} {version}"));
        self.put_attributes("InstrumentationScope attributes", &attributes);
    }

    fn put_metric(&mut self, metric: &Metric) {
        let kind = match &metric.data {
            Some(Data::Gauge(_)) => "Gauge",
            Some(Data::Sum(_)) => "Sum",
            Some(Data::Histogram(_)) => "Histogram",
            // Longwave exports no other kinds.
            _ => "Empty",
        };
        self.put(format_args!("Descriptor:"));
        self.put(format_args!("     -> Name: {}", metric.name));
        self.put(format_args!("     -> Description: {}", metric.description));
        self.put(format_args!("     -> Unit: {}", metric.unit));
        self.put(format_args!("     -> DataType: {kind}"));
        match &metric.data {
            Some(Data::Gauge(gauge)) => self.put_numbers(&gauge.data_points),
            Some(Data::Sum(sum)) => {
                self.put(format_args!("     -> IsMonotonic: {}", sum.is_monotonic));
                self.put_temporality(sum.aggregation_temporality());
                self.put_numbers(&sum.data_points);
            }
            Some(Data::Histogram(histogram)) => {
                self.put_temporality(histogram.aggregation_temporality());
                self.put_histograms(&histogram.data_points);
            }
            _ => {}
        }
    }

    fn put_temporality(&mut self, temporality: AggregationTemporality) {
        self.put(format_args!("     -> AggregationTemporality: {temporality:?}"));
    }

    fn put_numbers(&mut self, points: &[NumberDataPoint]) {
        for (index, point) in points.iter().enumerate() {
            self.put(format_args!("NumberDataPoints #{index}"));
            self.put_attributes("Data point attributes", &point.attributes);
            self.put_times(point.start_time_unix_nano, point.time_unix_nano);
            match point.value {
                Some(Value::AsInt(number)) => self.put(format_args!("Value: {number}")),
                Some(Value::AsDouble(number)) => self.put(format_args!("Value: {number:.6}")),
                None => {}
            }
        }
    }

    fn put_histograms(&mut self, points: &[HistogramDataPoint]) {
        for (index, point) in points.iter().enumerate() {
            self.put(format_args!("HistogramDataPoints #{index}"));
            self.put_attributes("Data point attributes", &point.attributes);
            self.put_times(point.start_time_unix_nano, point.time_unix_nano);
            self.put(format_args!("Count: {}", point.count));
            for (field, value) in [("Sum", point.sum), ("Min", point.min), ("Max", point.max)] {
                if let Some(value) = value {
                    self.put(format_args!("{field}: {value:.6}"));
                }
            }
            for (index, bound) in point.explicit_bounds.iter().enumerate() {
                self.put(format_args!("ExplicitBounds #{index}: {bound:.6}"));
            }
            for (index, count) in point.bucket_counts.iter().enumerate() {
                self.put(format_args!("Buckets #{index}, Count: {count}"));
            }
        }
    }

    fn put_times(&mut self, start: u64, end: u64) {
        self.put(format_args!("StartTimestamp: {}", Time(start)));
        self.put(format_args!("Timestamp: {}", Time(end)));
    }

    fn put_record(&mut self, record: &LogRecord) {
        self.put(format_args!("ObservedTimestamp: {}", Time(record.observed_time_unix_nano)));
        self.put(format_args!("Timestamp: {}", Time(record.time_unix_nano)));
        self.put(format_args!("SeverityText: {}", record.severity_text));
        let severity = SeverityNumber::try_from(record.severity_number).unwrap_or_default();
        self.put(format_args!("SeverityNumber: {severity:?}({})", record.severity_number));
        if !record.event_name.is_empty() {
            self.put(format_args!("EventName: {}", record.event_name));
        }
        self.put(format_args!("Body: {}", Typed(record.body.as_ref())));
        self.put_attributes("Attributes", &record.attributes);
        self.put(format_args!("Trace ID: "));
        self.put(format_args!("Span ID: "));
        self.put(format_args!("Flags: {}", record.flags));
    }
}
