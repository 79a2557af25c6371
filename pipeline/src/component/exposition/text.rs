//! The text formats. They differ in `# UNIT`, `_created`, the names of counters and infos, and the last line.

use std::borrow::Cow;
use std::io::Write;

use super::negotiation::{Accepted, Format};
use super::page::{Body, Family, FamilyKind, Labels, Number};

/// Returns whether Prometheus accepts the name without quotes: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_legacy_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(is_legacy_character)
}

fn is_legacy_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | ':')
}

/// Returns whether Prometheus accepts the name of a label without quotes: unlike a metric's, it has no colon.
fn is_legacy_label(name: &str) -> bool {
    is_legacy_name(name) && !name.contains(':')
}

/// Returns the name of a metric, with underscores for characters that are not allowed unless `utf8_names`.
pub(super) fn escaped(name: &str, utf8_names: bool) -> Cow<'_, str> {
    if utf8_names || is_legacy_name(name) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(with_underscores(name, is_legacy_character))
}

/// Returns the name of a label, as [`escaped`] does that of a metric.
pub(super) fn escaped_label(name: &str, utf8_names: bool) -> Cow<'_, str> {
    if utf8_names || is_legacy_label(name) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(with_underscores(name, |character| is_legacy_character(character) && character != ':'))
}

fn with_underscores(name: &str, is_allowed: impl Fn(char) -> bool) -> String {
    let mut text: String = name.chars().map(|c| if is_allowed(c) { c } else { '_' }).collect();
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        text.insert(0, '_');
    }
    text
}

/// Appends `name="value"`, after a comma if it is not the first.
pub(super) fn put_label(out: &mut Vec<u8>, name: &str, value: &str, utf8_names: bool) {
    if !out.is_empty() {
        out.push(b',');
    }
    let name = escaped_label(name, utf8_names);
    put_quoted(out, &name, !is_legacy_label(&name));
    out.extend_from_slice(b"=\"");
    put_escaped(out, value, true);
    out.push(b'"');
}

/// Appends the name of a metric, in quotes if it needs them.
fn put_name(out: &mut Vec<u8>, name: &str) {
    put_quoted(out, name, !is_legacy_name(name));
}

fn put_quoted(out: &mut Vec<u8>, name: &str, in_quotes: bool) {
    if in_quotes {
        out.push(b'"');
        put_escaped(out, name, true);
        out.push(b'"');
    } else {
        out.extend_from_slice(name.as_bytes());
    }
}

fn put_escaped(out: &mut Vec<u8>, text: &str, in_quotes: bool) {
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if in_quotes => out.extend_from_slice(b"\\\""),
            other => out.push(other),
        }
    }
}

/// Appends the lines about the family.
pub(super) fn put_metadata(out: &mut Vec<u8>, family: &Family<'_>, accepted: Accepted) {
    let is_open_metrics = accepted.format == Format::OpenMetrics;
    // The text format describes samples, OpenMetrics the family that they belong to.
    let suffix = match family.kind {
        FamilyKind::Counter if !is_open_metrics => "_total",
        FamilyKind::Info if !is_open_metrics => "_info",
        _ => "",
    };
    let name = format!("{}{suffix}", family.name);
    let kind = match family.kind {
        FamilyKind::Counter | FamilyKind::CounterWithoutSuffix => "counter",
        FamilyKind::Gauge => "gauge",
        FamilyKind::Histogram => "histogram",
        FamilyKind::Info if is_open_metrics => "info",
        FamilyKind::Info => "gauge",
    };
    let mut line = |keyword: &str, text: &str, has_quotes: bool| {
        out.extend_from_slice(keyword.as_bytes());
        put_name(out, &name);
        out.push(b' ');
        put_escaped(out, text, has_quotes);
        out.push(b'\n');
    };
    line("# HELP ", family.help, is_open_metrics);
    line("# TYPE ", kind, false);
    let has_unit = family.name.strip_suffix(family.unit).is_some_and(|rest| rest.ends_with(['_', '.']));
    if is_open_metrics && has_unit && !family.unit.is_empty() {
        line("# UNIT ", family.unit, false);
    }
}

/// Writes the samples of one family.
#[derive(Debug)]
pub(super) struct FamilyWriter<'a> {
    body: &'a mut Body,
    family: Family<'a>,
    accepted: Accepted,
    /// Whether the lines about the family are written. The first sample does that.
    has_metadata: bool,
    /// Whether the name needs quotes, which are within the braces.
    is_quoted: bool,
    /// Labels with an extra one.
    scratch: Vec<u8>,
    /// `le="…"` of each bucket of the last histogram.
    bounds: Vec<Vec<u8>>,
    /// Bounds that they are made of.
    bounds_of: Vec<f64>,
}

/// Writes the samples of one series.
pub(super) struct SeriesWriter<'a> {
    out: &'a mut Vec<u8>,
    name: &'a str,
    is_quoted: bool,
    is_open_metrics: bool,
    /// Labels, without braces.
    labels: &'a [u8],
    bounds: &'a mut Vec<Vec<u8>>,
    bounds_of: &'a mut Vec<f64>,
}

// === impl FamilyWriter ===

impl<'a> FamilyWriter<'a> {
    pub(super) fn new(body: &'a mut Body, family: Family<'a>, accepted: Accepted) -> Self {
        Self {
            body,
            family,
            accepted,
            has_metadata: false,
            is_quoted: !is_legacy_name(family.name),
            scratch: Vec::new(),
            bounds: Vec::new(),
            bounds_of: Vec::new(),
        }
    }

    pub(super) fn is_open_metrics(&self) -> bool {
        self.accepted.format == Format::OpenMetrics
    }

    /// Writes the samples of one series.
    pub(super) fn series(
        &mut self,
        labels: &Labels,
        extra: Option<(&str, &str)>,
        write: impl FnOnce(&mut SeriesWriter<'_>),
    ) {
        let is_open_metrics = self.is_open_metrics();
        let Self { body, family, accepted, has_metadata, is_quoted, scratch, bounds, bounds_of } = self;
        if !*has_metadata {
            *has_metadata = true;
            put_metadata(&mut body.bytes, family, *accepted);
        }
        let labels = match extra {
            None => &labels.encoded,
            Some((extra, value)) => {
                scratch.clear();
                scratch.extend_from_slice(&labels.encoded);
                put_label(scratch, extra, value, accepted.utf8_names);
                scratch
            }
        };
        write(&mut SeriesWriter {
            out: &mut body.bytes,
            name: family.name,
            is_quoted: *is_quoted,
            is_open_metrics,
            labels,
            bounds,
            bounds_of,
        });
        body.flush_chunk();
    }
}

// === impl SeriesWriter ===

impl SeriesWriter<'_> {
    /// Writes one sample.
    pub(super) fn number(&mut self, suffix: &str, value: Number) {
        self.head(suffix, None);
        put_number(self.out, value);
        self.out.push(b'\n');
    }

    /// Writes the buckets, which are cumulative, the sum and the count.
    pub(super) fn histogram(&mut self, bounds: &[f64], counts: &[u64], sum: f64) {
        if *self.bounds_of != bounds || self.bounds.is_empty() {
            self.bounds_of.clear();
            self.bounds_of.extend_from_slice(bounds);
            let bounds = bounds.iter().copied().chain([f64::INFINITY]);
            *self.bounds = bounds.map(|bound| bound_label(bound, self.is_open_metrics)).collect();
        }
        let mut cumulative = 0;
        for (index, count) in counts.iter().enumerate() {
            cumulative += count;
            self.head("_bucket", Some(index));
            put_number(self.out, Number::Int(cumulative));
            self.out.push(b'\n');
        }
        self.number("_sum", Number::Float(sum));
        self.number("_count", Number::Int(cumulative));
    }

    /// Writes the time of creation, in seconds. Only OpenMetrics has it.
    pub(super) fn created(&mut self, nanos: Option<u64>) {
        let Some(nanos) = nanos.filter(|_| self.is_open_metrics) else { return };
        self.head("_created", None);
        let (seconds, nanos) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        // Writing to a vector cannot fail.
        let _ = writeln!(self.out, "{seconds}.{:03}", nanos / 1_000_000);
    }

    /// Writes everything before the value. `bucket` is the number of a histogram's bucket.
    fn head(&mut self, suffix: &str, bucket: Option<usize>) {
        let Self { out, name, is_quoted, labels, bounds, .. } = self;
        if !*is_quoted {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(suffix.as_bytes());
        }
        let bound: &[u8] = bucket.and_then(|bucket| bounds.get(bucket)).map_or(b"", |bound| bound);
        if *is_quoted || !labels.is_empty() || !bound.is_empty() {
            out.push(b'{');
            let mut separator: &[u8] = b"";
            if *is_quoted {
                out.push(b'"');
                put_escaped(out, name, true);
                out.extend_from_slice(suffix.as_bytes());
                out.push(b'"');
                separator = b",";
            }
            for part in [labels, bound].into_iter().filter(|part| !part.is_empty()) {
                out.extend_from_slice(separator);
                out.extend_from_slice(part);
                separator = b",";
            }
            out.push(b'}');
        }
        out.push(b' ');
    }
}

/// Returns the label of a bucket. OpenMetrics requires a fraction, so that all clients write the same label.
fn bound_label(bound: f64, is_open_metrics: bool) -> Vec<u8> {
    let mut label = b"le=\"".to_vec();
    let before = label.len();
    put_number(&mut label, Number::Float(bound));
    if is_open_metrics && bound.is_finite() && !label[before..].contains(&b'.') {
        label.extend_from_slice(b".0");
    }
    label.push(b'"');
    label
}

fn put_number(out: &mut Vec<u8>, value: Number) {
    // Writing to a vector cannot fail.
    let _ = match value {
        Number::Int(number) => write!(out, "{number}"),
        Number::Float(f64::INFINITY) => write!(out, "+Inf"),
        Number::Float(f64::NEG_INFINITY) => write!(out, "-Inf"),
        Number::Float(number) => write!(out, "{number}"),
    };
}
