use std::io::Read;

use axum::body::to_bytes;
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use flate2::read::GzDecoder;
use prost::Message;

use super::page::Number as SampleNumber;
use super::protobuf::MetricFamily;
use super::*;

/// Headers `accept` of Prometheus, by version and setting.
const PROMETHEUS_2_42: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const PROMETHEUS_2_42_NATIVE: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const PROMETHEUS_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
const PROMETHEUS_3_LEGACY: &str = "application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=underscores;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
const PROMETHEUS_3_NATIVE: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
const PROMETHEUS_3_TEXT: &str = "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.5";

/// Every format, with and without UTF-8 names.
const FORMATS: [(&str, Format, bool); 5] = [
    ("text", Format::Text, false),
    ("text, UTF-8 names", Format::Text, true),
    ("OpenMetrics", Format::OpenMetrics, false),
    ("OpenMetrics, UTF-8 names", Format::OpenMetrics, true),
    ("protobuf", Format::Protobuf, false),
];

fn accepted(accept: &[&str], encoding: Option<&str>) -> Accepted {
    let mut headers = HeaderMap::new();
    for value in accept {
        headers.append(ACCEPT, HeaderValue::from_str(value).unwrap());
    }
    if let Some(encoding) = encoding {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_str(encoding).unwrap());
    }
    Accepted::of_request(&headers)
}

/// A page with a family of each kind, a family without samples, and names and values that need escapes.
fn page(format: Format, utf8_names: bool) -> Vec<u8> {
    page_for(Accepted { format, utf8_names, gzip: false })
}

fn page_for(accepted: Accepted) -> Vec<u8> {
    let mut page = Page::new(accepted);
    let plain = page.labels(|label| {
        label("reporter", "source");
        label("source.workload.name", "a \"b\"\\\nc, ü");
    });
    let none = page.labels(|_| {});
    let created = Some(1_700_000_000_123_456_789);
    let family = |name, unit, kind, help| Family { name, unit, kind, help };
    page.family(
        family("tcp.sent_bytes", "bytes", FamilyKind::Counter, "Sent \"bytes\",\nof C:\\."),
        |samples| {
            samples.counter(&plain, None, SampleNumber::Int(u64::MAX), created);
            samples.counter(&none, Some(("close.reason", "fin")), SampleNumber::Float(0.5), None);
        },
    );
    page.family(family("empty", "", FamilyKind::Gauge, "No samples."), |_| {});
    page.family(family("bare", "", FamilyKind::CounterWithoutSuffix, "Counts."), |samples| {
        samples.counter(&none, None, SampleNumber::Int(0), created);
    });
    page.family(family("connections:active", "", FamilyKind::Gauge, "Open."), |samples| {
        samples.gauge(&plain, Some(("a:b", "c")), SampleNumber::Int(3));
        samples.gauge(&none, None, SampleNumber::Float(f64::INFINITY));
        samples.gauge(&none, Some(("1st", "")), SampleNumber::Float(f64::NAN));
        samples.gauge(&none, Some(("1st", "x")), SampleNumber::Float(f64::NEG_INFINITY));
    });
    page.family(family("rtt_seconds", "seconds", FamilyKind::Histogram, "Round trips."), |samples| {
        samples.histogram(&plain, &[0.005, 1.0, 2.5], &[1, 0, 2, 4], 17.25, created);
        samples.histogram(&none, &[1.0], &[0, 0], 0.0, None);
    });
    page.family(family("rtt", "seconds", FamilyKind::Gauge, "The unit is not in the name."), |samples| {
        samples.gauge(&none, None, SampleNumber::Float(1e-7));
    });
    page.family(family("target", "", FamilyKind::Info, "Facts."), |samples| {
        samples.gauge(&plain, None, SampleNumber::Int(1));
    });
    page.finish()
}

fn families(mut bytes: &[u8]) -> Vec<MetricFamily> {
    let mut families = Vec::new();
    while !bytes.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut bytes).unwrap());
    }
    families
}

/// *Scenario*: the headers `accept` of Prometheus 2.42 and 3, of a browser, of curl, of a client that excludes formats, and none.
/// *Guarantees*: the format is the one that the client prefers among those that pages have; UTF-8 names only for clients that request them.
#[test]
fn formats_are_negotiated() {
    use Format::{OpenMetrics, Protobuf, Text};
    let cases: [(&[&str], Format, bool); 17] = [
        (&[PROMETHEUS_2_42], OpenMetrics, false),
        (&[PROMETHEUS_2_42_NATIVE], Protobuf, false),
        (&[PROMETHEUS_3], OpenMetrics, true),
        (&[PROMETHEUS_3_LEGACY], OpenMetrics, false),
        (&[PROMETHEUS_3_NATIVE], Protobuf, false),
        (&[PROMETHEUS_3_TEXT], Text, true),
        (&[], Text, false),
        (&["*/*"], Text, false),
        (&["text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"], Text, false),
        (
            &["text/plain;version=0.0.4;q=0.3", "application/openmetrics-text; version=\"1.0.0\" ; q=0.6"],
            OpenMetrics,
            false,
        ),
        (&["Application/OpenMetrics-Text;Version=1.0.0, text/plain;q=0.5"], OpenMetrics, false),
        (&["application/openmetrics-text;q=0, text/plain"], Text, false),
        (&["application/openmetrics-text;version=2.0.0, text/plain;q=0.1"], Text, false),
        (
            &[
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text, text/plain;q=0.1",
            ],
            Text,
            false,
        ),
        (&["application/json"], Text, false),
        (&["text/plain;q=nonsense, application/openmetrics-text;q=0.2"], OpenMetrics, false),
        (&[",;=,"], Text, false),
    ];
    for (accept, format, utf8_names) in cases {
        let found = accepted(accept, None);
        assert_eq!((found.format, found.utf8_names), (format, utf8_names), "{accept:?}");
    }
}

/// *Scenario*: clients that accept gzip, do not, and exclude it.
/// *Guarantees*: the body is compressed only for the first, and decompresses to the page; the content type is that of the format.
#[tokio::test]
async fn bodies_are_compressed_on_request() {
    for (encoding, gzip) in [
        (Some("gzip"), true),
        (Some("deflate, GZIP;q=0.5"), true),
        (Some("identity"), false),
        (Some("gzip;q=0"), false),
        (None, false),
    ] {
        let accepted = accepted(&[PROMETHEUS_2_42], encoding);
        let page = page(accepted.format, accepted.utf8_names);
        let response = accepted.response(page_for(accepted));
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(
            header(CONTENT_TYPE),
            Some("application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores")
        );
        assert_eq!(header(CONTENT_ENCODING), gzip.then_some("gzip"), "{encoding:?}");
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let mut text = Vec::new();
        if gzip {
            GzDecoder::new(&*body).read_to_end(&mut text).unwrap();
        } else {
            text.extend_from_slice(&body);
        }
        assert_eq!(text, page, "{encoding:?}");
    }
}

/// *Scenario*: a page with each kind of family, values at their limits, and names and values that need escapes, in each text format.
/// *Guarantees*: the texts are those of the specifications; a family without samples is left out.
#[test]
fn text_formats() {
    let pages = FORMATS.into_iter().filter(|(_, format, _)| *format != Format::Protobuf);
    let pages = pages.map(|(name, format, utf8)| {
        format!("=== {name} ===\n{}", String::from_utf8(page(format, utf8)).unwrap())
    });
    insta::assert_snapshot!(pages.collect::<String>());
}

/// *Scenario*: the same page as protobuf, decoded again.
/// *Guarantees*: it has the same families, labels and values as the texts; names of counters have their suffix.
#[test]
fn protobuf_decodes() {
    insta::assert_debug_snapshot!(families(&page(Format::Protobuf, false)));
}

/// *Scenario*: a small family as protobuf.
/// *Guarantees*: its bytes are those of the published messages: `MetricFamily {name, help, type, metric {label, gauge}}`, after their length.
#[test]
fn protobuf_bytes() {
    let mut page = Page::new(Accepted { format: Format::Protobuf, utf8_names: false, gzip: false });
    let labels = page.labels(|label| label("k", "v"));
    let family = Family { name: "up", unit: "", kind: FamilyKind::Gauge, help: "U." };
    page.family(family, |samples| samples.gauge(&labels, None, SampleNumber::Int(2)));
    let label = [&[0x0a, 6][..], &[0x0a, 1, b'k', 0x12, 1, b'v']].concat();
    let gauge = [&[0x12, 9][..], &[0x09, 0, 0, 0, 0, 0, 0, 0, 0x40]].concat();
    let metric = [label, gauge].concat();
    let mut message = [&[0x0a, 2][..], b"up", &[0x12, 2], b"U.", &[0x18, 1]].concat();
    message.extend([0x22, metric.len() as u8]);
    message.extend(metric);
    assert_eq!(page.finish(), [&[message.len() as u8][..], &message].concat());
}

/// *Scenario*: a page without families.
/// *Guarantees*: it is valid in each format.
#[test]
fn empty_pages() {
    for (name, format, utf8_names) in FORMATS {
        let page = Page::new(Accepted { format, utf8_names, gzip: false }).finish();
        let expected: &[u8] = if format == Format::OpenMetrics { b"# EOF\n" } else { b"" };
        assert_eq!(page, expected, "{name}");
    }
}
