//! Encodes data points, the elements of `data_points` (field 1 of gauge, sum and histogram).

use longwave_pipeline::model::{AttributeValue, Histogram, SeriesKey};

use super::protobuf::{fixed64_key, message_len, put_attribute, put_message};

/// `NumberDataPoint.attributes`.
const NUMBER_ATTRIBUTES: u8 = 7;
/// `HistogramDataPoint.attributes`.
const HISTOGRAM_ATTRIBUTES: u8 = 9;

/// A series' attributes, encoded once for all its points of a window. The two kinds of point have them under different field
/// numbers, so there are two copies. The second is made for the first histogram.
#[derive(Debug, Default)]
pub(crate) struct EncodedAttributes {
    number: Vec<u8>,
    /// Positions of the attributes' key bytes in `number`.
    starts: Vec<usize>,
    histogram: Vec<u8>,
    scratch: String,
}

/// Start and end of a point, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub start: u64,
    pub end: u64,
}

/// Value of a `NumberDataPoint`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Int(u64),
    Double(f64),
}

// === impl EncodedAttributes ===

impl EncodedAttributes {
    pub(crate) fn set(&mut self, key: &SeriesKey) {
        self.number.clear();
        self.starts.clear();
        self.histogram.clear();
        let Self { number, starts, scratch, .. } = self;
        key.for_each_attribute(&mut |key, value| {
            let start = number.len();
            put_attribute(number, NUMBER_ATTRIBUTES, key, value, scratch);
            if number.len() > start {
                starts.push(start);
            }
        });
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

    /// Returns an upper bound of a point's length, with `extra` or a histogram.
    pub(crate) fn longest_point(&self, extra: &[u8]) -> usize {
        const OF_A_HISTOGRAM: usize = 64 + 2 * 8 * 32;
        self.number.len() + extra.len() + OF_A_HISTOGRAM
    }
}

/// Appends the attribute that splits a sum (a close reason or an error), for [`put_number`].
pub(crate) fn put_extra(out: &mut Vec<u8>, key: &str, text: &dyn std::fmt::Display, scratch: &mut String) {
    put_attribute(out, NUMBER_ATTRIBUTES, key, AttributeValue::Text(text), scratch);
}

/// Appends a `NumberDataPoint`.
pub(crate) fn put_number(
    out: &mut Vec<u8>,
    attributes: &EncodedAttributes,
    extra: &[u8],
    span: Span,
    value: Number,
) {
    let (field, bits) = match value {
        // OTLP has no unsigned numbers. Numbers from 2^63 on (8 EiB) become the largest signed one.
        Number::Int(number) => (6, i64::try_from(number).unwrap_or(i64::MAX) as u64),
        Number::Double(number) => (4, number.to_bits()),
    };
    let fixed = fixed64_fields([(2, span.start), (3, span.end), (field, bits)]);
    let attributes = attributes.for_numbers();
    put_message(out, 1, attributes.len() + extra.len() + fixed.as_flattened().len());
    out.extend_from_slice(attributes);
    out.extend_from_slice(extra);
    out.extend_from_slice(fixed.as_flattened());
}

/// Appends a `HistogramDataPoint`.
pub(crate) fn put_histogram(
    out: &mut Vec<u8>,
    attributes: &mut EncodedAttributes,
    span: Span,
    histogram: &Histogram,
) {
    let (counts, bounds) = (histogram.counts(), histogram.bounds());
    let numbers = [(2, span.start), (3, span.end), (4, histogram.count()), (5, histogram.sum().to_bits())];
    let fixed = fixed64_fields(numbers);
    let attributes = attributes.for_histograms();
    let packed = message_len(8 * counts.len()) + message_len(8 * bounds.len());
    put_message(out, 1, attributes.len() + fixed.as_flattened().len() + packed);
    out.extend_from_slice(attributes);
    out.extend_from_slice(fixed.as_flattened());
    put_packed(out, 6, counts.iter().copied());
    put_packed(out, 7, bounds.iter().map(|bound| bound.to_bits()));
}

/// Encodes fields of eight bytes, so that one copy appends them all.
fn fixed64_fields<const N: usize>(fields: [(u8, u64); N]) -> [[u8; 9]; N] {
    fields.map(|(field, bits)| {
        let mut bytes = [fixed64_key(field); 9];
        bytes[1..].copy_from_slice(&bits.to_le_bytes());
        bytes
    })
}

/// Appends a packed field of eight-byte numbers.
fn put_packed(out: &mut Vec<u8>, field: u8, numbers: impl ExactSizeIterator<Item = u64>) {
    put_message(out, field, 8 * numbers.len());
    let start = out.len();
    out.resize(start + 8 * numbers.len(), 0);
    for (bytes, number) in out[start..].chunks_exact_mut(8).zip(numbers) {
        bytes.copy_from_slice(&number.to_le_bytes());
    }
}
