//! `metrics::readers`: pages and exports of the metrics of Longwave itself, in the grammar of the Collector.

use longwave_config::{GoDuration, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OtlpProtocol;
use crate::component::Problems;

/// An element of `readers`: a page, or an export.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ReaderConfig {
    /// A page that a scraper reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull: Option<PullConfig>,
    /// A periodic export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub periodic: Option<PeriodicConfig>,
}

/// A page that a scraper reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PullConfig {
    /// Kind of the page.
    pub exporter: PullExporterConfig,
}

/// `pull::exporter`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PullExporterConfig {
    /// A page for Prometheus.
    pub prometheus: Option<PrometheusPageConfig>,
}

/// `pull::exporter::prometheus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PrometheusPageConfig {
    /// Name or address to listen on.
    #[schemars(example = &"localhost")]
    pub host: String,
    /// Port to listen on.
    #[schemars(example = 8888)]
    pub port: u16,
    /// Whether scopes are left out. Only true is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_scope_info: Option<bool>,
    /// Whether names have no units. Only false is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_units: Option<bool>,
    /// Whether names of counters have no `_total`. Only false is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_type_suffix: Option<bool>,
}

/// A periodic export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PeriodicConfig {
    /// Milliseconds between exports.
    pub interval: u64,
    /// Milliseconds for one export.
    pub timeout: u64,
    /// Protocol and server.
    pub exporter: PeriodicExporterConfig,
}

/// `periodic::exporter`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PeriodicExporterConfig {
    /// OTLP.
    pub otlp: Option<OtlpReaderConfig>,
}

/// `periodic::exporter::otlp`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OtlpReaderConfig {
    /// Protocol of the export.
    pub protocol: OtlpProtocol,
    /// URL, or `host:port`. A path is used over HTTP. Without one it is `/v1/metrics`.
    #[schemars(example = &"https://collector:4318")]
    pub endpoint: String,
    /// Whether `host:port` is reached without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// PEM file with the certificate authorities to trust, instead of the system's.
    #[schemars(example = "/etc/longwave/ca.pem")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// PEM file with the client certificate, for servers that require one.
    #[schemars(example = "/etc/longwave/client.pem")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    /// PEM file with the private key of `client_certificate`.
    #[schemars(example = "/etc/longwave/client-key.pem")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key: Option<String>,
    /// Headers of every request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderConfig>,
    /// More headers, as `key=value,key=value`. Those of `headers` have precedence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers_list: Option<Secret>,
    /// Compression of requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<ReaderCompression>,
    /// Milliseconds for one request. Default: `periodic::timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 10000)]
    pub timeout: Option<u64>,
    /// Which time a sum covers.
    pub temporality_preference: TemporalityPreference,
}

/// A header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HeaderConfig {
    /// Name of the header.
    #[schemars(example = &"x-api-key")]
    pub name: String,
    /// Value of the header.
    pub value: Secret,
}

/// `compression` of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReaderCompression {
    /// RFC 1952.
    Gzip,
    /// No compression.
    None,
}

/// `temporality_preference`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TemporalityPreference {
    /// The time since the start.
    #[default]
    Cumulative,
    /// The time since the last export. Sums that can decrease stay cumulative.
    Delta,
    /// As `delta`, but sums that are observed at an export stay cumulative.
    LowMemory,
}

/// Longest interval and time limit: a day.
const MAX_MILLIS: u64 = 24 * 3600 * 1000;

// === impl PeriodicConfig ===

impl Default for PeriodicConfig {
    fn default() -> Self {
        Self { interval: 60_000, timeout: 30_000, exporter: PeriodicExporterConfig::default() }
    }
}

// === impl ReaderConfig ===

impl ReaderConfig {
    /// Reports invalid values. `path` is that of this element.
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        match (&self.pull, &self.periodic) {
            (Some(pull), None) => match &pull.exporter.prometheus {
                Some(page) => page.validate(&format!("{path}::pull::exporter::prometheus"), problems),
                None => problems.at(
                    format!("{path}::pull::exporter"),
                    "must have prometheus: {host: localhost, port: 8888}",
                ),
            },
            (None, Some(periodic)) => periodic.validate(&format!("{path}::periodic"), problems),
            _ => problems.at(path, "must have either pull or periodic"),
        }
    }
}

impl PrometheusPageConfig {
    fn validate(&self, path: &str, problems: &mut Problems) {
        if self.host.is_empty() {
            problems.at(format!("{path}::host"), "must be set, for example to localhost");
        }
        if self.port == 0 {
            problems.at(format!("{path}::port"), "must be set, for example to 8888");
        }
        let fixed = [
            ("without_scope_info", self.without_scope_info, true, "the page has no scopes"),
            ("without_units", self.without_units, false, "names on the page have units"),
            (
                "without_type_suffix",
                self.without_type_suffix,
                false,
                "names of counters on the page end with _total",
            ),
        ];
        for (key, value, only, reason) in fixed {
            if value.is_some_and(|value| value != only) {
                problems.at(
                    format!("{path}::{key}"),
                    format!("must be {only}, since {reason}: remove the setting"),
                );
            }
        }
    }

    /// Returns `host:port`, with brackets around an IPv6 address.
    pub(super) fn address(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }
}

impl PeriodicConfig {
    fn validate(&self, path: &str, problems: &mut Problems) {
        for (key, millis) in [("interval", self.interval), ("timeout", self.timeout)] {
            if !(1..=MAX_MILLIS).contains(&millis) {
                problems.at(
                    format!("{path}::{key}"),
                    format!("must be between 1 and {MAX_MILLIS} milliseconds (one day), for example 60000"),
                );
            }
        }
        let Some(otlp) = &self.exporter.otlp else {
            problems.at(
                format!("{path}::exporter"),
                "must have otlp: {protocol: grpc, endpoint: http://localhost:4317} (console is not supported)",
            );
            return;
        };
        let path = format!("{path}::exporter::otlp");
        if otlp.endpoint.is_empty() {
            problems.at(format!("{path}::endpoint"), "must be set, for example to http://localhost:4317");
        } else if otlp.url().parse::<http::Uri>().map_or(true, |url| url.host().is_none_or(str::is_empty)) {
            problems.at(
                format!("{path}::endpoint"),
                format!("{:?} is not a URL (write for example http://localhost:4317)", otlp.endpoint),
            );
        }
        if otlp.timeout.is_some_and(|millis| !(1..=MAX_MILLIS).contains(&millis)) {
            problems.at(
                format!("{path}::timeout"),
                format!("must be between 1 and {MAX_MILLIS} milliseconds (one day), for example 10000"),
            );
        }
        match (&otlp.client_certificate, &otlp.client_key) {
            (Some(_), None) => {
                problems
                    .at(format!("{path}::client_key"), "must be set too: client_certificate needs its key");
            }
            (None, Some(_)) => problems.at(
                format!("{path}::client_certificate"),
                "must be set too: client_key needs its certificate",
            ),
            _ => {}
        }
        if otlp.listed_headers().any(|header| header.is_none()) {
            problems.at(format!("{path}::headers_list"), "must be key=value,key=value");
        }
        for (name, value) in otlp.all_headers() {
            let is_name = http::HeaderName::from_bytes(name.as_bytes()).is_ok();
            if !is_name || http::HeaderValue::from_str(&value).is_err() {
                problems.at(
                    format!("{path}::headers"),
                    format!(
                        "{name:?} and its value must be a header (a line break at the end of the value?)"
                    ),
                );
            }
        }
    }

    /// Returns the time between exports.
    pub(super) fn interval(&self) -> GoDuration {
        GoDuration::from_millis(self.interval)
    }
}

impl OtlpReaderConfig {
    /// Returns the headers of every request.
    pub(super) fn all_headers(&self) -> Vec<(String, String)> {
        let own = |name: &str| self.headers.iter().any(|header| header.name == name);
        let listed = self.listed_headers().flatten().filter(|(name, _)| !own(name));
        let headers = self.headers.iter().map(|header| (header.name.as_str(), header.value.expose()));
        listed.chain(headers).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Returns the elements of `headers_list`. `None` for one that is malformed.
    fn listed_headers(&self) -> impl Iterator<Item = Option<(&str, &str)>> {
        let list = self.headers_list.as_ref().map_or("", Secret::expose);
        let elements = list.split(',').map(str::trim).filter(|element| !element.is_empty());
        elements.map(|element| element.split_once('=').map(|(name, value)| (name.trim(), value.trim())))
    }

    /// Returns the URL of the server. `https` is the scheme of an endpoint without one, unless `insecure` is set, as in the Collector.
    pub(super) fn url(&self) -> String {
        let endpoint = self.endpoint.trim();
        let url = match endpoint.contains("://") {
            true => endpoint.to_owned(),
            false if self.insecure == Some(true) => format!("http://{endpoint}"),
            false => format!("https://{endpoint}"),
        };
        let has_path =
            url.split_once("://").is_some_and(|(_, rest)| rest.trim_end_matches('/').contains('/'));
        match self.protocol {
            OtlpProtocol::HttpProtobuf if !has_path => format!("{}/v1/metrics", url.trim_end_matches('/')),
            OtlpProtocol::Grpc | OtlpProtocol::HttpProtobuf => url,
        }
    }
}
