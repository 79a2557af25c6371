//! [`SdkReader`]: the metrics of an OpenTelemetry SDK as a page.
//!
//! Names are those of Prometheus' `otlptranslator`: the unit and `_total` are appended. Attributes of the scope are left out, because
//! Longwave has one scope. Histograms with exponential buckets are left out, because no instrument makes them.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::KeyValue;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Metric, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, Temporality};

use super::negotiation::Accepted;
use super::page::{Family, FamilyKind, Labels, Number, Page, Samples};

/// Reads the instruments of the SDK whenever a page is made. Clones are the same reader.
#[derive(Clone, Debug, Default)]
pub struct SdkReader(Arc<ManualReader>);

/// Prefix of metrics of the process. They are older than the SDK, which a reload replaces, so its time is not that of their creation.
const PROCESS: &str = "process_";

/// Type of a metric's values.
trait ToNumber: Copy {
    fn to_number(self) -> Number;
}

// === impl SdkReader ===

impl SdkReader {
    /// Returns a page with all metrics and `target_info`.
    ///
    /// # Errors
    /// The SDK was shut down.
    pub fn page(&self, accepted: Accepted) -> Result<Vec<u8>, String> {
        let mut collected = ResourceMetrics::default();
        self.collect(&mut collected).map_err(|error| error.to_string())?;
        let mut families: BTreeMap<String, Vec<(&Metric, FamilyKind)>> = BTreeMap::new();
        for metric in collected.scope_metrics().flat_map(|scope| scope.metrics()) {
            if let Some(kind) = kind_of(metric) {
                families.entry(translate(metric.name(), metric.unit()).0).or_default().push((metric, kind));
            }
        }
        let mut page = Page::new(accepted);
        let resource = collected.resource();
        if !resource.is_empty() {
            page.target_info(|label| {
                resource.iter().for_each(|(key, value)| label(key.as_str(), &value.as_str()))
            });
        }
        for (name, metrics) in &families {
            put_family(&mut page, name, metrics);
        }
        Ok(page.finish())
    }
}

impl MetricReader for SdkReader {
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

    fn temporality(&self, _: InstrumentKind) -> Temporality {
        Temporality::Cumulative
    }
}

/// Appends metrics of one name. Those of another kind than the first are left out, because a name has one kind.
fn put_family(page: &mut Page, name: &str, metrics: &[(&Metric, FamilyKind)]) {
    let Some((first, kind)) = metrics.first() else { return };
    let (_, unit) = translate(first.name(), first.unit());
    let family = Family { name, unit, kind: *kind, help: first.description() };
    let mut points = Vec::new();
    let is_older = name.starts_with(PROCESS);
    for (metric, _) in metrics.iter().filter(|(_, other)| other == kind) {
        match metric.data() {
            AggregatedMetrics::U64(data) => add_points(page, data, is_older, &mut points),
            AggregatedMetrics::I64(data) => add_points(page, data, is_older, &mut points),
            AggregatedMetrics::F64(data) => add_points(page, data, is_older, &mut points),
        }
    }
    // The SDK has no order of points.
    points.sort_by(|(a, _), (b, _)| a.encoded.cmp(&b.encoded));
    page.family(family, |samples| {
        points.iter().for_each(|(labels, point)| point.put(samples, labels));
    });
}

/// Value of one data point.
enum Point {
    Counter(Number, Option<u64>),
    Gauge(Number),
    Histogram { bounds: Vec<f64>, counts: Vec<u64>, sum: f64, created: Option<u64> },
}

impl Point {
    fn put(&self, samples: &mut Samples<'_>, labels: &Labels) {
        match self {
            Self::Counter(value, created) => samples.counter(labels, None, *value, *created),
            Self::Gauge(value) => samples.gauge(labels, None, *value),
            Self::Histogram { bounds, counts, sum, created } => {
                samples.histogram(labels, bounds, counts, *sum, *created);
            }
        }
    }
}

fn add_points<T: ToNumber>(
    page: &Page,
    data: &MetricData<T>,
    is_older: bool,
    points: &mut Vec<(Labels, Point)>,
) {
    let created = |start| nanos(start).filter(|_| !is_older);
    match data {
        MetricData::Sum(sum) => {
            let created = created(sum.start_time());
            for point in sum.data_points() {
                let value = point.value().to_number();
                let value =
                    if sum.is_monotonic() { Point::Counter(value, created) } else { Point::Gauge(value) };
                points.push((labels(page, point.attributes()), value));
            }
        }
        MetricData::Gauge(gauge) => {
            for point in gauge.data_points() {
                points.push((labels(page, point.attributes()), Point::Gauge(point.value().to_number())));
            }
        }
        MetricData::Histogram(histogram) => {
            let created = created(histogram.start_time());
            for point in histogram.data_points() {
                let (bounds, counts) = (point.bounds().collect(), point.bucket_counts().collect());
                let sum = point.sum().to_number().as_f64();
                let value = Point::Histogram { bounds, counts, sum, created };
                points.push((labels(page, point.attributes()), value));
            }
        }
        MetricData::ExponentialHistogram(_) => {}
    }
}

fn labels<'a>(page: &Page, attributes: impl Iterator<Item = &'a KeyValue>) -> Labels {
    let mut attributes: Vec<_> = attributes.collect();
    attributes.sort_by(|a, b| a.key.cmp(&b.key));
    page.labels(|label| attributes.iter().for_each(|kv| label(kv.key.as_str(), &kv.value.as_str())))
}

fn kind_of(metric: &Metric) -> Option<FamilyKind> {
    match metric.data() {
        AggregatedMetrics::U64(data) => kind(data),
        AggregatedMetrics::I64(data) => kind(data),
        AggregatedMetrics::F64(data) => kind(data),
    }
}

fn kind<T>(data: &MetricData<T>) -> Option<FamilyKind> {
    match data {
        MetricData::Sum(sum) if sum.is_monotonic() => Some(FamilyKind::Counter),
        MetricData::Sum(_) | MetricData::Gauge(_) => Some(FamilyKind::Gauge),
        MetricData::Histogram(_) => Some(FamilyKind::Histogram),
        MetricData::ExponentialHistogram(_) => None,
    }
}

/// Returns the name of the family and its unit. `unit` is UCUM's. Annotations such as `{record}` are no units.
fn translate(name: &str, unit: &str) -> (String, &'static str) {
    let word = match unit {
        "By" => "bytes",
        "s" => "seconds",
        _ => return (name.to_owned(), ""),
    };
    if name.split(['.', '_']).any(|part| part == word) {
        return (name.to_owned(), word);
    }
    (format!("{name}_{word}"), word)
}

fn nanos(time: SystemTime) -> Option<u64> {
    time.duration_since(UNIX_EPOCH).ok().and_then(|since| u64::try_from(since.as_nanos()).ok())
}

impl ToNumber for u64 {
    fn to_number(self) -> Number {
        Number::Int(self)
    }
}

impl ToNumber for i64 {
    fn to_number(self) -> Number {
        u64::try_from(self).map_or(Number::Float(self as f64), Number::Int)
    }
}

impl ToNumber for f64 {
    fn to_number(self) -> Number {
        Number::Float(self)
    }
}
