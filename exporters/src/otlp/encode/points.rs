//! One data point, as an element of `data_points` (field 1 of gauge, sum and histogram).

use longwave_pipeline::Attributes;
use longwave_pipeline::histogram::Histogram;

use super::protobuf::{fixed64_key, message_len, put_attribute, put_fixed64, put_message};

/// `NumberDataPoint.attributes`.
const NUMBER_ATTRIBUTES: u8 = 7;
/// `HistogramDataPoint.attributes`.
const HISTOGRAM_ATTRIBUTES: u8 = 9;

/// A series' attributes, encoded once for all its points of a window. The two kinds of point know them under different field
/// numbers, so there are two copies; the second is made when the first histogram asks.
#[derive(Debug, Default)]
pub(crate) struct EncodedAttributes {
    number: Vec<u8>,
    /// Where each attribute's key byte is.
    starts: Vec<usize>,
    histogram: Vec<u8>,
    scratch: String,
}

/// From when to when a point is valid, nanoseconds since the epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub start: u64,
    pub end: u64,
}

/// What a number point holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Int(u64),
    Double(f64),
}

// === impl EncodedAttributes ===

impl EncodedAttributes {
    pub(crate) fn set(&mut self, attributes: &Attributes) {
        self.number.clear();
        self.starts.clear();
        self.histogram.clear();
        for (key, value) in &attributes.0 {
            self.starts.push(self.number.len());
            put_attribute(&mut self.number, NUMBER_ATTRIBUTES, key, value.as_ref(), &mut self.scratch);
        }
    }

    fn for_numbers(&self) -> &[u8] {
        &self.number
    }

    fn for_histograms(&mut self) -> &[u8] {
        if self.histogram.is_empty() {
            self.histogram.extend_from_slice(&self.number);
            for start in &self.starts {
                self.histogram[*start] = super::protobuf::message_key(HISTOGRAM_ATTRIBUTES);
            }
        }
        &self.histogram
    }

    /// The longest that a point of these attributes gets, `extra` and histogram included.
    pub(crate) fn longest_point(&self, extra: &[u8]) -> usize {
        const OF_A_HISTOGRAM: usize = 64 + 2 * 8 * 32;
        self.number.len() + extra.len() + OF_A_HISTOGRAM
    }
}

/// Appends the attribute that splits a sum (a close reason, an error), to be passed to [`put_number`].
pub(crate) fn put_extra(out: &mut Vec<u8>, key: &str, text: &dyn std::fmt::Display, scratch: &mut String) {
    put_attribute(out, NUMBER_ATTRIBUTES, key, longwave_pipeline::ValueRef::Text(text), scratch);
}

/// Appends a `NumberDataPoint`.
pub(crate) fn put_number(
    out: &mut Vec<u8>,
    attributes: &EncodedAttributes,
    extra: &[u8],
    span: Span,
    value: Number,
) {
    let attributes = attributes.for_numbers();
    put_message(out, 1, attributes.len() + extra.len() + 3 * 9);
    out.extend_from_slice(attributes);
    out.extend_from_slice(extra);
    put_fixed64(out, 2, span.start);
    put_fixed64(out, 3, span.end);
    match value {
        // OTLP has no unsigned number: what does not fit (8 EiB) is shown as the largest.
        Number::Int(number) => put_fixed64(out, 6, i64::try_from(number).unwrap_or(i64::MAX) as u64),
        Number::Double(number) => put_fixed64(out, 4, number.to_bits()),
    }
}

/// Appends a `HistogramDataPoint`.
pub(crate) fn put_histogram(
    out: &mut Vec<u8>,
    attributes: &mut EncodedAttributes,
    span: Span,
    histogram: &Histogram,
) {
    let attributes = attributes.for_histograms();
    let (counts, bounds) = (histogram.counts(), histogram.bounds());
    let packed = message_len(8 * counts.len()) + message_len(8 * bounds.len());
    put_message(out, 1, attributes.len() + 4 * 9 + packed);
    out.extend_from_slice(attributes);
    put_fixed64(out, 2, span.start);
    put_fixed64(out, 3, span.end);
    put_fixed64(out, 4, histogram.count());
    out.push(fixed64_key(5));
    out.extend_from_slice(&histogram.sum().to_le_bytes());
    put_message(out, 6, 8 * counts.len());
    counts.iter().for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
    put_message(out, 7, 8 * bounds.len());
    bounds.iter().for_each(|bound| out.extend_from_slice(&bound.to_le_bytes()));
}
