//! Settings that both protocols share.

use std::collections::BTreeMap;

use longwave_config::Secret;
use longwave_pipeline::component::Problems;
use serde::{Deserialize, Serialize};

/// What sums mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Temporality {
    /// What happened in the window.
    #[default]
    Delta,
    /// What happened since the series began. For Prometheus and what derives from it.
    Cumulative,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// RFC 1952.
    #[default]
    Gzip,
    /// Not at all.
    None,
}

/// Sent with every request; values are secrets.
pub type Headers = BTreeMap<String, Secret>;

/// Reports headers that cannot be sent.
pub(crate) fn validate_headers(headers: &Headers, grpc: bool, problems: &mut Problems) {
    for (name, value) in headers {
        let key = format!("headers::{name}");
        let lower = name.to_ascii_lowercase();
        if ::http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            problems.at(key, "is not a header name (letters, digits and - are)");
        } else if ::http::HeaderValue::from_str(value.expose()).is_err() {
            problems.at(
                key,
                "the value has characters that a header cannot carry (a line break at the end of a file?)",
            );
        } else if matches!(
            lower.as_str(),
            "content-type" | "content-encoding" | "content-length" | "te" | "grpc-encoding"
        ) {
            problems.at(key, "is set by the protocol and cannot be chosen");
        } else if grpc && lower.ends_with("-bin") {
            problems.at(key, "binary metadata (-bin) is not supported");
        }
    }
}

/// The headers as sent; what `validate_headers` refuses is left out.
pub(crate) fn header_map(headers: &Headers) -> ::http::HeaderMap {
    let pairs = headers.iter().filter_map(|(name, value)| {
        let name = ::http::HeaderName::from_bytes(name.as_bytes()).ok()?;
        let mut value = ::http::HeaderValue::from_str(value.expose()).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    });
    pairs.collect()
}
