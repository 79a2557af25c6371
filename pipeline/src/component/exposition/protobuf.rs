//! The messages of `io.prometheus.client` that pages use.
//!
//! They have no buckets of native histograms: those have bounds at powers of two, while ours are explicit, so that a conversion would not
//! be exact. Prometheus 3 converts ours exactly, with `convert_classic_histograms_to_nhcb: true` in its scrape configuration.

use prost::Message;

use super::negotiation::Accepted;
use super::page::{Family, FamilyKind, Labels};
use super::text;

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetricFamily {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    /// 0 counter, 1 gauge, 4 histogram.
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(message, repeated, tag = "4")]
    pub(super) metrics: Vec<Metric>,
    #[prost(string, tag = "5")]
    unit: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Metric {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Gauge>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Counter>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelPair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Gauge {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct Counter {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
    #[prost(message, optional, tag = "3")]
    created: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    buckets: Vec<Bucket>,
    #[prost(message, optional, tag = "15")]
    created: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, optional, tag = "1")]
    cumulative_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    upper_bound: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// A [`Metric`] with labels only, to decode encoded [`Labels`].
#[derive(Clone, PartialEq, Message)]
struct LabelsOnly {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<LabelPair>,
}

/// Returns the family without metrics.
pub(super) fn new_family(family: &Family<'_>) -> MetricFamily {
    // Unlike OpenMetrics, this format has the names of the samples.
    let (suffix, kind) = match family.kind {
        FamilyKind::Counter => ("_total", 0),
        FamilyKind::CounterWithoutSuffix => ("", 0),
        FamilyKind::Gauge => ("", 1),
        FamilyKind::Histogram => ("", 4),
        FamilyKind::Info => ("_info", 1),
    };
    MetricFamily {
        name: format!("{}{suffix}", family.name),
        help: family.help.to_owned(),
        kind,
        metrics: Vec::new(),
        unit: family.unit.to_owned(),
    }
}

/// Appends a family after its length, unless it is empty.
pub(super) fn put_family(out: &mut Vec<u8>, family: &MetricFamily) {
    if !family.metrics.is_empty() {
        out.extend_from_slice(&family.encode_length_delimited_to_vec());
    }
}

/// Appends a label to encoded [`Labels`].
pub(super) fn put_label(out: &mut Vec<u8>, name: &str, value: &str) {
    let pair = LabelPair { name: name.to_owned(), value: value.to_owned() };
    out.extend_from_slice(&LabelsOnly { labels: vec![pair] }.encode_to_vec());
}

// === impl Metric ===

impl Metric {
    /// Makes a metric without a value.
    pub(super) fn new(labels: &Labels, extra: Option<(&str, &str)>, accepted: Accepted) -> Self {
        // The bytes are those of `put_label`.
        let mut labels = LabelsOnly::decode(&*labels.encoded).unwrap_or_default().labels;
        labels.extend(extra.map(|(name, value)| {
            let name = text::escaped_label(name, accepted.utf8_names).into_owned();
            LabelPair { name, value: value.to_owned() }
        }));
        Self { labels, ..Self::default() }
    }

    pub(super) fn with_counter(self, value: f64, created: Option<u64>) -> Self {
        let counter = Counter { value: Some(value), created: created.map(Timestamp::from_nanos) };
        Self { counter: Some(counter), ..self }
    }

    pub(super) fn with_gauge(self, value: f64) -> Self {
        Self { gauge: Some(Gauge { value: Some(value) }), ..self }
    }

    pub(super) fn with_histogram(
        self,
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
        created: Option<u64>,
    ) -> Self {
        let mut cumulative = 0;
        let buckets = counts.iter().enumerate().map(|(index, count)| {
            cumulative += count;
            let bound = bounds.get(index).copied().unwrap_or(f64::INFINITY);
            Bucket { cumulative_count: Some(cumulative), upper_bound: Some(bound) }
        });
        let buckets = buckets.collect();
        let histogram = Histogram {
            count: Some(cumulative),
            sum: Some(sum),
            buckets,
            created: created.map(Timestamp::from_nanos),
        };
        Self { histogram: Some(histogram), ..self }
    }
}

// === impl Timestamp ===

impl Timestamp {
    fn from_nanos(nanos: u64) -> Self {
        Self { seconds: (nanos / 1_000_000_000) as i64, nanos: (nanos % 1_000_000_000) as i32 }
    }
}
