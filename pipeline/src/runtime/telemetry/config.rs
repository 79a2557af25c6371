//! [`TelemetryConfig`]: the section `service::telemetry`.

use std::collections::BTreeMap;

use longwave_config::GoDuration;
use serde::{Deserialize, Serialize};

use crate::component::Problems;

/// `service::telemetry`: how Longwave reports on itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TelemetryConfig {
    /// Log messages on stderr.
    pub logs: LogConfig,
    /// Metrics of Longwave itself.
    pub metrics: MetricConfig,
    /// Changes to the resource of everything that is exported.
    #[serde(skip_serializing_if = "ResourceChanges::is_empty")]
    pub resource: ResourceChanges,
}

/// `resource`: the new values of resource attributes, by key. `None` removes the attribute.
pub type ResourceChanges = BTreeMap<String, Option<String>>;

/// `logs`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// Minimum severity of messages.
    pub level: LogLevel,
    /// Format of a line.
    pub encoding: LogEncoding,
}

/// Severity of a message. The configuration may use upper case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
#[allow(missing_docs, reason = "the Collector's words")]
pub enum LogLevel {
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

/// Format of a line of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogEncoding {
    /// Text for people.
    #[default]
    Console,
    /// One JSON object per line.
    Json,
}

/// `metrics`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MetricConfig {
    /// Which metrics are published. `none` turns the page and the export off.
    pub level: MetricLevel,
    /// `host:port` of the Prometheus page (`/metrics`).
    pub address: PageAddress,
    /// Export by OTLP, in addition to the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpConfig>,
}

/// `host:port` of the page. If it is the default, a port that is in use is only a warning, because the user did not ask for the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct PageAddress {
    text: String,
    is_default: bool,
}

/// Which metrics are published. The configuration may use upper case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum MetricLevel {
    /// None. There is no page.
    None,
    /// Items that receivers accept and exporters send.
    Basic,
    /// All metrics except those for developers.
    #[default]
    Normal,
    /// All metrics.
    Detailed,
}

/// `metrics::otlp`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OtlpConfig {
    /// URL: `http://host:4317` for gRPC, or `http://host:4318` for HTTP, without the path.
    pub endpoint: String,
    /// Protocol of the export.
    pub protocol: OtlpProtocol,
    /// Time between exports.
    pub interval: GoDuration,
}

/// Protocol of OTLP, with the names of `OTEL_EXPORTER_OTLP_PROTOCOL`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OtlpProtocol {
    /// gRPC.
    #[default]
    #[serde(rename = "grpc")]
    Grpc,
    /// HTTP with protobuf bodies.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

/// Longest time between two exports.
const MAX_INTERVAL: GoDuration = GoDuration::from_secs(24 * 3600);

// === impl TelemetryConfig ===

impl TelemetryConfig {
    /// Reports invalid values below `service::telemetry`.
    pub(crate) fn validate(&self, problems: &mut Problems) {
        for (key, value) in &self.resource {
            let (field, problem) = match value {
                _ if key.trim().is_empty() => {
                    ("resource".to_owned(), "the key of an attribute must not be empty")
                }
                Some(value) if value.trim().is_empty() => {
                    (format!("resource::{key}"), "must not be empty (to remove the attribute, write null)")
                }
                Some(_) | None => continue,
            };
            problems.at(field, problem);
        }
        if self.metrics.level != MetricLevel::None && !self.metrics.address.as_str().contains(':') {
            problems.at("metrics::address", "must be host:port, for example localhost:8888");
        }
        if let Some(otlp) = &self.metrics.otlp {
            if !otlp.endpoint.starts_with("http://") && !otlp.endpoint.starts_with("https://") {
                problems.at("metrics::otlp::endpoint", "must be a URL, for example http://localhost:4317");
            }
            if otlp.interval.get().is_zero() {
                problems.at("metrics::otlp::interval", "must be positive, for example 60s");
            }
            problems.at_most("metrics::otlp::interval", otlp.interval, MAX_INTERVAL);
        }
    }
}

// === impl MetricConfig ===

impl Default for MetricConfig {
    fn default() -> Self {
        Self { level: MetricLevel::default(), address: PageAddress::default_of("localhost:8888"), otlp: None }
    }
}

// === impl PageAddress ===

impl PageAddress {
    /// Returns `text` as the address that the configuration does not set.
    pub(super) fn default_of(text: &str) -> Self {
        Self { text: text.to_owned(), is_default: true }
    }

    /// Returns `host:port`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the configuration does not set it.
    pub fn is_default(&self) -> bool {
        self.is_default
    }
}

impl From<String> for PageAddress {
    fn from(text: String) -> Self {
        Self { text, is_default: false }
    }
}

impl From<PageAddress> for String {
    fn from(address: PageAddress) -> Self {
        address.text
    }
}

// === impl OtlpConfig ===

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            endpoint: "http://localhost:4317".to_owned(),
            protocol: OtlpProtocol::default(),
            interval: GoDuration::from_secs(60),
        }
    }
}

// === impl MetricLevel ===

impl TryFrom<String> for MetricLevel {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "none" => Ok(Self::None),
            "basic" => Ok(Self::Basic),
            "normal" => Ok(Self::Normal),
            "detailed" => Ok(Self::Detailed),
            _ => Err(format!("unknown value {text:?} (valid values: [none basic normal detailed])")),
        }
    }
}

// === impl LogLevel ===

impl TryFrom<String> for LogLevel {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" | "warning" => Ok(Self::Warn),
            "error" => Ok(Self::Error),
            _ => Err(format!("unrecognized level: {text:?} (valid values: [debug info warn error])")),
        }
    }
}

impl LogLevel {
    /// Returns the level as a directive of a tracing filter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}
