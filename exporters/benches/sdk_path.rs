//! Measures the data path through the OpenTelemetry SDK: the same number of points is added to instruments, collected, converted to
//! messages and encoded. Compare with `otlp_encode`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::sync::{Arc, Weak};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    Instrument, InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Stream, Temporality,
};
use prost::Message;

const SERIES: usize = 1000;
const INSTRUMENTS: usize = 10;

#[derive(Clone, Debug)]
struct SharedReader(Arc<ManualReader>);

impl MetricReader for SharedReader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

fn sdk(c: &mut Criterion) {
    let reader = SharedReader(Arc::new(ManualReader::builder().with_temporality(Temporality::Delta).build()));
    // Without this view the SDK folds all series of a metric after the first 2,000.
    let unlimited = |_: &Instrument| Stream::builder().with_cardinality_limit(SERIES * 2).build().ok();
    let provider = SdkMeterProvider::builder().with_reader(reader.clone()).with_view(unlimited).build();
    let meter = provider.meter("bench");
    let counters: Vec<_> = (0..INSTRUMENTS)
        .map(|number| meter.u64_counter(format!("longwave.metric_{number}")).build())
        .collect();
    let series: Vec<[KeyValue; 9]> = (0..SERIES)
        .map(|index| {
            [
                KeyValue::new("reporter", "source"),
                KeyValue::new("source.workload.name", format!("checkout-frontend-{index}")),
                KeyValue::new("source.workload.kind", "Deployment"),
                KeyValue::new("source.k8s.namespace.name", "shop-production"),
                KeyValue::new("destination.service.name", "payments"),
                KeyValue::new("destination.service.namespace", "shop-production"),
                KeyValue::new("destination.workload.name", format!("payments-{index}")),
                KeyValue::new("destination.workload.kind", "StatefulSet"),
                KeyValue::new("destination.k8s.namespace.name", "shop-production"),
            ]
        })
        .collect();
    let mut collected = ResourceMetrics::default();
    let mut group = c.benchmark_group("sdk_path/points");
    group.throughput(Throughput::Elements((SERIES * INSTRUMENTS) as u64));
    group.bench_function("add_collect_encode", |b| {
        b.iter(|| {
            for attributes in &series {
                for counter in &counters {
                    counter.add(123_456, attributes);
                }
            }
            reader.collect(&mut collected).unwrap();
            black_box(ExportMetricsServiceRequest::from(&collected).encode_to_vec())
        });
    });
    group.finish();
}

criterion_group!(benches, sdk);
criterion_main!(benches);
