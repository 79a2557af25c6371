//! One flat JSON object per line. Programs read these lines, so their format is stable.
//!
//! - Whole numbers are exact up to 2^64 − 1. A reader that stores numbers as doubles loses digits above 2^53.
//! - A histogram is `{"count":…,"sum":…,"buckets":[[upper,count],…]}` in seconds. It has every bucket, and the counts are not cumulative.
//!   The last bucket has no upper bound, which is `null`.
//! - `connections.closed` and `connections.failed` are totals and always present. `connections.closed.<reason>` and
//!   `connections.failed.<error>` are their parts that are not zero.

use std::io::{self, Write};

use longwave_pipeline::component::AttributeEdits;
use longwave_pipeline::model::metric::{Id, METRICS, PointValue, for_each_point};
use longwave_pipeline::model::{
    AttributeValue, ConnectionRecord, Histogram, Rfc3339, Series, UNKNOWN, Window, for_each_attribute,
    micros_to_seconds,
};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use longwave_pipeline::component::visible;

/// Appends the access-log object of a record.
pub(super) fn log(record: &ConnectionRecord, edits: &AttributeEdits, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.text("event_name", record.event.event_name());
    object.display("timestamp", &Rfc3339(record.observed));
    edits
        .for_each(&|visit| for_each_attribute(record, visit), &mut |key, value| object.attribute(key, value));
    object.close();
}

/// Appends the object of a series in a window.
pub(super) fn series(window: &Window, series: &Series, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.display("start", &Rfc3339(window.start));
    object.display("end", &Rfc3339(window.end));
    object.text("level", series.level.as_str());
    series.key.for_each_attribute(&mut |key, value| object.attribute(key, value));
    let measures = &series.measures;
    let mut totals =
        [(Id::Closed, measures.closed_total()), (Id::Failed, measures.failed_total())].into_iter().peekable();
    for_each_point(measures, &mut |id, value| {
        while let Some((total, count)) = totals.next_if(|(total, _)| *total as usize <= id as usize) {
            object.number(total.metric().suffix, count);
        }
        let suffix = id.metric().suffix;
        match value {
            PointValue::Int(number) => object.number(suffix, number),
            PointValue::Micros(time) => object.float(suffix, micros_to_seconds(time)),
            PointValue::Float(number) => object.float(suffix, number),
            PointValue::Closed(reason, count) => {
                object.number(&format!("{suffix}.{}", reason.as_str()), count)
            }
            PointValue::Failed(reason, count) => object.number(&format!("{suffix}.{reason}"), count),
            PointValue::Histogram(histogram) => object.histogram(suffix, histogram),
        }
    });
    object.close();
}

/// Fields of objects that are neither attributes nor metrics.
const FIELDS: [&str; 5] = ["event_name", "timestamp", "start", "end", "level"];

/// Writes one object.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    scratch: String,
    first: bool,
}

impl<'a> Object<'a> {
    fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, scratch: String::new(), first: true }
    }

    fn close(self) {
        self.out.extend_from_slice(b"}\n");
    }

    /// Writes an attribute. A processor can have added one with the name of a field of the object, which is not repeated.
    fn attribute(&mut self, key: &str, value: AttributeValue<'_>) {
        let is_field = FIELDS.contains(&key) || METRICS.iter().any(|metric| key.starts_with(metric.suffix));
        if is_field { self.value(&format!("attributes.{key}"), value) } else { self.value(key, value) }
    }

    fn value(&mut self, key: &str, value: AttributeValue<'_>) {
        match value {
            AttributeValue::Str(text) => self.text(key, text),
            AttributeValue::Text(text) => self.display(key, text),
            AttributeValue::Int(number) => self.number(key, number),
            AttributeValue::Float(number) => self.float(key, number),
            AttributeValue::Bool(value) => {
                self.key(key);
                self.out.extend_from_slice(if value { b"true" } else { b"false" });
            }
            AttributeValue::Unknown => self.text(key, UNKNOWN),
        }
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        quote(key, self.out);
        self.out.push(b':');
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        quote(text, self.out);
    }

    fn display(&mut self, key: &str, text: &dyn std::fmt::Display) {
        use std::fmt::Write as _;
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        // Writing to a String cannot fail. If a Display fails, what it wrote before stays.
        let _ = write!(scratch, "{text}");
        self.text(key, &scratch);
        self.scratch = scratch;
    }

    fn number(&mut self, key: &str, number: u64) {
        self.key(key);
        let _ = write!(self.out, "{number}");
    }

    fn float(&mut self, key: &str, number: f64) {
        self.key(key);
        float(number, self.out);
    }

    fn histogram(&mut self, key: &str, histogram: &Histogram) {
        self.key(key);
        let _ = write!(self.out, "{{\"count\":{},\"sum\":", histogram.count());
        float(histogram.sum(), self.out);
        self.out.extend_from_slice(b",\"buckets\":[");
        let bounds = histogram.bounds().iter().copied().map(Some).chain([None]);
        for (index, (bound, count)) in bounds.zip(histogram.counts()).enumerate() {
            self.out.extend_from_slice(if index == 0 { b"[" } else { b",[" });
            match bound {
                Some(bound) => float(bound, self.out),
                None => self.out.extend_from_slice(b"null"),
            }
            let _ = write!(self.out, ",{count}]");
        }
        self.out.extend_from_slice(b"]}");
    }
}

/// Appends text with JSON's escapes, also of the control and format characters for which JSON does not require them. Writing to memory
/// cannot fail.
fn quote(text: &str, out: &mut Vec<u8>) {
    let _ = text.serialize(&mut Serializer::with_formatter(out, EscapeHidden));
}

/// Escapes the characters of [`visible`].
struct EscapeHidden;

impl Formatter for EscapeHidden {
    fn write_string_fragment<W: Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(visible::must_be_escaped) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let mut after = rest[at..].chars();
            let units = after.next().map(|character| character.encode_utf16(&mut [0; 2]).to_vec());
            for unit in units.unwrap_or_default() {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = after.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Appends the shortest decimal that parses to the same number; `null` if the number is not finite.
fn float(number: f64, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, &number);
}
