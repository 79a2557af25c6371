//! [`Page`]: metric families with their samples.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::negotiation::{Accepted, Format};
use super::protobuf::{self, Metric, MetricFamily};
use super::text;

/// A page under construction.
#[derive(Debug)]
pub struct Page {
    accepted: Accepted,
    body: Body,
}

/// The bytes of a page. They are compressed while they are written, so that the whole page is never in memory uncompressed.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    compressed: Option<GzEncoder<Vec<u8>>>,
}

/// Number of bytes that are compressed together.
const CHUNK: usize = 64 << 10;

/// A metric family: metrics with the same name.
#[derive(Clone, Copy, Debug)]
pub struct Family<'a> {
    /// Name, without the suffix `_total` of a counter.
    pub name: &'a str,
    /// Unit, such as `bytes`. It is only shown if the name ends with it.
    pub unit: &'a str,
    /// Kind of the metrics.
    pub kind: FamilyKind,
    /// Description.
    pub help: &'a str,
}

/// Kind of a family's metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyKind {
    /// Monotonic sum. Its samples have the suffix `_total`.
    Counter,
    /// Monotonic sum. Its samples have the suffix `_total` only in OpenMetrics, which requires it.
    CounterWithoutSuffix,
    /// Current value.
    Gauge,
    /// Explicit-bucket histogram.
    Histogram,
    /// Facts as labels. The samples have the suffix `_info` and the value 1.
    Info,
}

/// The labels of a series, encoded for the format of one page.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    pub(super) encoded: Vec<u8>,
}

/// Writes the samples of one family.
#[derive(Debug)]
pub struct Samples<'p> {
    family: Family<'p>,
    writer: Writer<'p>,
}

#[derive(Debug)]
enum Writer<'p> {
    Text(text::FamilyWriter<'p>),
    Protobuf { family: MetricFamily, accepted: Accepted },
}

// === impl Body ===

impl Body {
    fn new(accepted: Accepted) -> Self {
        // The fastest level makes a page about 20 times smaller.
        let compressed = accepted.gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
        Self { bytes: Vec::new(), compressed }
    }

    /// Compresses the bytes if there are enough.
    pub(super) fn flush_chunk(&mut self) {
        if self.bytes.len() >= CHUNK {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if let Some(compressed) = &mut self.compressed {
            // Writing to a vector cannot fail.
            let _ = compressed.write_all(&self.bytes);
            self.bytes.clear();
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.flush();
        match self.compressed {
            Some(compressed) => compressed.finish().unwrap_or_default(),
            None => self.bytes,
        }
    }
}

// === impl Page ===

impl Page {
    /// Creates an empty page for a client.
    pub fn new(accepted: Accepted) -> Self {
        Self { accepted, body: Body::new(accepted) }
    }

    /// Encodes labels, for any number of samples of this page. `visit` calls its argument with each name and value. Names are valid or are
    /// escaped; their order does not matter.
    pub fn labels(&self, visit: impl FnOnce(&mut dyn FnMut(&str, &str))) -> Labels {
        let mut encoded = Vec::new();
        match self.accepted.format {
            Format::Protobuf => visit(&mut |name, value| {
                protobuf::put_label(
                    &mut encoded,
                    &text::escaped_label(name, self.accepted.utf8_names),
                    value,
                );
            }),
            Format::OpenMetrics | Format::Text => visit(&mut |name, value| {
                text::put_label(&mut encoded, name, value, self.accepted.utf8_names);
            }),
        }
        Labels { encoded }
    }

    /// Appends a family. `write` writes its samples. A family without samples is left out.
    pub fn family(&mut self, family: Family<'_>, write: impl FnOnce(&mut Samples<'_>)) {
        let Self { accepted, body } = self;
        let name = text::escaped(family.name, accepted.utf8_names);
        let family = Family { name: &name, ..family };
        let writer = match accepted.format {
            Format::Protobuf => {
                Writer::Protobuf { family: protobuf::new_family(&family), accepted: *accepted }
            }
            Format::OpenMetrics | Format::Text => {
                Writer::Text(text::FamilyWriter::new(body, family, *accepted))
            }
        };
        let mut samples = Samples { family, writer };
        write(&mut samples);
        if let Writer::Protobuf { family, .. } = samples.writer {
            protobuf::put_family(&mut body.bytes, &family);
            body.flush_chunk();
        }
    }

    /// Appends `target_info`, which has the resource attributes as labels. `visit` is that of [`Self::labels`].
    pub fn target_info(&mut self, visit: impl FnOnce(&mut dyn FnMut(&str, &str))) {
        let family = Family {
            name: "target",
            unit: "",
            kind: FamilyKind::Info,
            help: "Resource attributes of Longwave.",
        };
        let labels = self.labels(visit);
        self.family(family, |samples| samples.gauge(&labels, None, Number::Int(1)));
    }

    /// Returns the complete body, compressed if the client accepts that.
    pub fn finish(mut self) -> Vec<u8> {
        if self.accepted.format == Format::OpenMetrics {
            self.body.bytes.extend_from_slice(b"# EOF\n");
        }
        self.body.finish()
    }
}

// === impl Samples ===

impl Samples<'_> {
    /// Writes a counter. `created` is the time at which it was 0, in nanoseconds since the Unix epoch, if known. `extra` is one more label.
    pub fn counter(
        &mut self,
        labels: &Labels,
        extra: Option<(&str, &str)>,
        value: Number,
        created: Option<u64>,
    ) {
        match &mut self.writer {
            Writer::Protobuf { family, accepted } => {
                let metric = Metric::new(labels, extra, *accepted);
                family.metrics.push(metric.with_counter(value.as_f64(), created));
            }
            Writer::Text(writer) => {
                let has_suffix = writer.is_open_metrics() || self.family.kind == FamilyKind::Counter;
                writer.series(labels, extra, |series| {
                    series.number(if has_suffix { "_total" } else { "" }, value);
                    series.created(created);
                });
            }
        }
    }

    /// Writes a gauge, or the facts of an info.
    pub fn gauge(&mut self, labels: &Labels, extra: Option<(&str, &str)>, value: Number) {
        match &mut self.writer {
            Writer::Protobuf { family, accepted } => {
                family.metrics.push(Metric::new(labels, extra, *accepted).with_gauge(value.as_f64()));
            }
            Writer::Text(writer) => {
                let suffix = if self.family.kind == FamilyKind::Info { "_info" } else { "" };
                writer.series(labels, extra, |series| series.number(suffix, value));
            }
        }
    }

    /// Writes a histogram. `counts` has one element more than `bounds`: the samples above the last bound. `created` is as for a counter.
    pub fn histogram(
        &mut self,
        labels: &Labels,
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
        created: Option<u64>,
    ) {
        match &mut self.writer {
            Writer::Protobuf { family, accepted } => {
                let metric = Metric::new(labels, None, *accepted);
                family.metrics.push(metric.with_histogram(bounds, counts, sum, created));
            }
            Writer::Text(writer) => writer.series(labels, None, |series| {
                series.histogram(bounds, counts, sum);
                series.created(created);
            }),
        }
    }
}

/// Value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Whole number. Text formats show all its digits.
    Int(u64),
    /// Number with a fraction.
    Float(f64),
}

// === impl Number ===

impl Number {
    pub(super) fn as_f64(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::Float(number) => number,
        }
    }
}
