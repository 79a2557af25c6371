//! Content negotiation by the headers `accept` and `accept-encoding`.

use axum::body::Body;
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, Response};

/// Format of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics text, version 1.0.
    OpenMetrics,
    /// Prometheus' text format, version 0.0.4.
    Text,
    /// Prometheus' protobuf format, delimited.
    Protobuf,
}

/// What a client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The preferred format among those that pages have.
    pub format: Format,
    /// Whether names may have characters outside of `[a-zA-Z0-9_:]`. Otherwise they are replaced by underscores.
    pub utf8_names: bool,
    /// Whether the body may be compressed.
    pub gzip: bool,
}

/// One element of a header with alternatives.
struct Alternative<'a> {
    name: &'a str,
    parameters: &'a str,
    quality: f32,
}

// === impl Accepted ===

impl Accepted {
    /// Returns what a request accepts. A request without `accept` gets the text format.
    pub fn of_request(headers: &HeaderMap) -> Self {
        let accept = joined(headers, ACCEPT);
        let mut best: Option<(f32, Format, bool)> = None;
        for alternative in alternatives(&accept) {
            let Some(format) = alternative.format() else { continue };
            if alternative.quality > best.map_or(0.0, |(quality, ..)| quality) {
                let utf8_names = alternative.parameter("escaping") == Some("allow-utf-8");
                best = Some((alternative.quality, format, utf8_names));
            }
        }
        let (_, format, utf8_names) = best.unwrap_or((0.0, Format::Text, false));
        let encodings = joined(headers, ACCEPT_ENCODING);
        let gzip = alternatives(&encodings)
            .any(|alternative| alternative.name.eq_ignore_ascii_case("gzip") && alternative.quality > 0.0);
        Self { format, utf8_names, gzip }
    }

    /// Returns the response with the body of a [`Page`](super::Page) for this client.
    pub fn response(self, body: Vec<u8>) -> Response<Body> {
        let mut response = Response::new(Body::from(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type()));
        headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
        if self.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    fn content_type(self) -> &'static str {
        match (self.format, self.utf8_names) {
            (Format::OpenMetrics, false) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
            }
            (Format::OpenMetrics, true) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
            }
            (Format::Text, false) => "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
            (Format::Text, true) => "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            (Format::Protobuf, _) => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

// === impl Alternative ===

impl<'a> Alternative<'a> {
    /// Returns the format that the media type names, if pages have it.
    fn format(&self) -> Option<Format> {
        match self.name.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" => {
                matches!(self.parameter("version"), None | Some("1.0.0")).then_some(Format::OpenMetrics)
            }
            "text/plain" => {
                matches!(self.parameter("version"), None | Some("0.0.4" | "1.0.0")).then_some(Format::Text)
            }
            "*/*" | "text/*" => Some(Format::Text),
            "application/vnd.google.protobuf" => {
                let is_known = self.parameter("proto") == Some("io.prometheus.client.MetricFamily")
                    && self.parameter("encoding") == Some("delimited");
                is_known.then_some(Format::Protobuf)
            }
            _ => None,
        }
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        let mut parameters = self.parameters.split(';').filter_map(|parameter| parameter.split_once('='));
        parameters
            .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().trim_matches('"'))
    }
}

/// Returns all values of a header, separated by commas.
fn joined(headers: &HeaderMap, name: axum::http::HeaderName) -> String {
    let values: Vec<_> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

/// Returns the alternatives of a header's value. One without a quality has the quality 1.
fn alternatives(value: &str) -> impl Iterator<Item = Alternative<'_>> {
    value.split(',').map(|text| {
        let (name, parameters) = text.split_once(';').unwrap_or((text, ""));
        let mut alternative = Alternative { name: name.trim(), parameters, quality: 1.0 };
        if let Some(quality) = alternative.parameter("q") {
            alternative.quality = quality.parse().unwrap_or(0.0);
        }
        alternative
    })
}
