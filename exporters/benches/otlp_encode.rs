//! Measures how many points per second one core encodes as OTLP requests. For comparison it encodes the same window from a tree of
//! messages, as generated code does. The attributes of the tree are built once and cloned for each point. It measures the thread's CPU
//! time, so that other processes on the machine do not change the result.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::hint::black_box;

use common::busy_window;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use longwave_exporters::otlp::Temporality;
use longwave_exporters::otlp::encode::{LogsEncoder, MetricsEncoder};
use longwave_pipeline::model::metric::{Id, METRICS, PointValue, for_each_point};
use longwave_pipeline::model::{
    AttributeValue, ConnectionRecord, Level, SeriesKey, Window, micros_to_seconds,
};
use longwave_testing::cpu_time::CpuTime;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
    number_data_point,
};
use prost::Message;

fn key_values(key: &SeriesKey) -> Vec<KeyValue> {
    let mut pairs = Vec::new();
    key.for_each_attribute(&mut |key, value| {
        let value = match value {
            AttributeValue::Str(text) => any_value::Value::StringValue(text.to_owned()),
            AttributeValue::Text(text) => any_value::Value::StringValue(text.to_string()),
            AttributeValue::Int(number) => any_value::Value::IntValue(number as i64),
            AttributeValue::Float(number) => any_value::Value::DoubleValue(number),
            AttributeValue::Bool(value) => any_value::Value::BoolValue(value),
            AttributeValue::Unknown => return,
        };
        let (key, value) = (key.to_owned(), Some(AnyValue { value: Some(value) }));
        pairs.push(KeyValue { key, value, ..KeyValue::default() });
    });
    pairs
}

/// Encodes a tree of messages, to compare with. `cached` are the attributes of each series.
fn by_messages(window: &Window, cached: &[Vec<KeyValue>]) -> Vec<u8> {
    let mut numbers: Vec<Vec<NumberDataPoint>> = vec![Vec::new(); METRICS.len()];
    let mut histograms: Vec<Vec<HistogramDataPoint>> = vec![Vec::new(); METRICS.len()];
    let (start_time_unix_nano, time_unix_nano) = (window.start.0, window.end.0);
    for (series, attributes) in window.series.iter().zip(cached) {
        for_each_point(&series.measures, &mut |id: Id, value| {
            let value = match value {
                PointValue::Histogram(histogram) => {
                    return histograms[id as usize].push(HistogramDataPoint {
                        attributes: attributes.clone(),
                        start_time_unix_nano,
                        time_unix_nano,
                        count: histogram.count(),
                        sum: Some(histogram.sum()),
                        bucket_counts: histogram.counts().to_vec(),
                        explicit_bounds: histogram.bounds().to_vec(),
                        ..HistogramDataPoint::default()
                    });
                }
                PointValue::Int(n) | PointValue::Closed(_, n) | PointValue::Failed(_, n) => {
                    number_data_point::Value::AsInt(n as i64)
                }
                PointValue::Micros(n) => number_data_point::Value::AsDouble(micros_to_seconds(n)),
                PointValue::Float(n) => number_data_point::Value::AsDouble(n),
            };
            let (attributes, value) = (attributes.clone(), Some(value));
            let point = NumberDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                value,
                ..Default::default()
            };
            numbers[id as usize].push(point);
        });
    }
    let metrics =
        METRICS.iter().zip(numbers.into_iter().zip(histograms)).map(|(metric, (numbers, histograms))| {
            let data = if histograms.is_empty() {
                metric::Data::Sum(Sum {
                    data_points: numbers,
                    aggregation_temporality: 1,
                    is_monotonic: true,
                })
            } else {
                metric::Data::Histogram(Histogram { data_points: histograms, aggregation_temporality: 1 })
            };
            Metric {
                name: metric.names[1].into(),
                unit: metric.unit.into(),
                data: Some(data),
                ..Metric::default()
            }
        });
    let scope_metrics = vec![ScopeMetrics { metrics: metrics.collect(), ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

fn metrics(c: &mut Criterion<CpuTime>) {
    let window = busy_window(Level::Workload);
    let resource = vec![("service.name".to_owned(), "longwave".to_owned())];
    let mut group = c.benchmark_group("otlp_encode/points");
    group.throughput(Throughput::Elements(window.point_count()));
    for temporality in [Temporality::Delta, Temporality::Cumulative] {
        let mut encoder = MetricsEncoder::new(&resource, temporality);
        group.bench_function(format!("{temporality:?}").to_lowercase(), |b| {
            b.iter(|| black_box(encoder.encode(black_box(&window))));
        });
    }
    let connections = busy_window(Level::Connection);
    let mut encoder = MetricsEncoder::new(&resource, Temporality::Delta);
    group.bench_function("delta, connections", |b| {
        b.iter(|| black_box(encoder.encode(black_box(&connections))));
    });
    let cached: Vec<_> = window.series.iter().map(|series| key_values(&series.key)).collect();
    group.bench_function("message_tree", |b| b.iter(|| black_box(by_messages(black_box(&window), &cached))));
    group.finish();
}

fn logs(c: &mut Criterion<CpuTime>) {
    let records = vec![ConnectionRecord { start_known: true, ..ConnectionRecord::blank() }; 1000];
    let mut encoder = LogsEncoder::new(&[("service.name".to_owned(), "longwave".to_owned())]);
    let mut group = c.benchmark_group("otlp_encode/log_records");
    group.throughput(Throughput::Elements(records.len() as u64));
    group.bench_function("records", |b| b.iter(|| black_box(encoder.encode(black_box(&records)))));
    group.finish();
}

criterion_group!(name = benches; config = Criterion::default().with_measurement(CpuTime); targets = metrics, logs);
criterion_main!(benches);
