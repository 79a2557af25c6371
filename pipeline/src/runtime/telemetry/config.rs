//! `service.telemetry`.

use longwave_config::{ConfigError, GoDuration};
use serde::{Deserialize, Serialize};

/// What Longwave reports of itself, and where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TelemetryConfig {
    /// Diagnostics on stderr.
    pub logs: LogConfig,
    /// Measurements.
    pub metrics: MetricConfig,
}

/// `logs`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// The least severe that is written.
    pub level: LogLevel,
    /// Form of a line.
    pub encoding: LogEncoding,
}

/// Severity; upper case is accepted too.
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

/// Form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogEncoding {
    /// For people.
    #[default]
    Console,
    /// One object a line.
    Json,
}

/// `metrics`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MetricConfig {
    /// How much; `none` turns the page and the export off.
    pub level: MetricLevel,
    /// `host:port` of the Prometheus page (`/metrics`).
    pub address: String,
    /// Export by OTLP as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpConfig>,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricLevel {
    /// Nothing, and no page.
    None,
    /// What receivers accept and exporters send.
    Basic,
    /// All but what only a developer wants.
    #[default]
    Normal,
    /// Everything.
    Detailed,
}

/// `metrics::otlp`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OtlpConfig {
    /// URL: `http://host:4317` (gRPC) or `http://host:4318` (HTTP; the path is added).
    pub endpoint: String,
    /// Protocol.
    pub protocol: OtlpProtocol,
    /// How often.
    pub interval: GoDuration,
}

/// OTLP's transports, as `OTEL_EXPORTER_OTLP_PROTOCOL` names them.
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

// === impl TelemetryConfig ===

impl TelemetryConfig {
    /// Reports what is wrong, below `service::telemetry`.
    pub(crate) fn validate(&self, errors: &mut Vec<ConfigError>) {
        let mut report = |field: &str, message: &str| {
            errors.push(ConfigError::new("service::telemetry", message).field(field));
        };
        if self.metrics.level != MetricLevel::None && !self.metrics.address.contains(':') {
            report("metrics::address", "must be host:port, for example localhost:8888");
        }
        if let Some(otlp) = &self.metrics.otlp {
            if !otlp.endpoint.starts_with("http://") && !otlp.endpoint.starts_with("https://") {
                report("metrics::otlp::endpoint", "must be a URL, for example http://localhost:4317");
            }
            if otlp.interval.get().is_zero() {
                report("metrics::otlp::interval", "must be positive, for example 60s");
            }
        }
    }
}

// === impl MetricConfig ===

impl Default for MetricConfig {
    fn default() -> Self {
        Self { level: MetricLevel::default(), address: "localhost:8888".to_owned(), otlp: None }
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

// === impl LogLevel ===

impl TryFrom<String> for LogLevel {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" => Ok(Self::Warn),
            "error" => Ok(Self::Error),
            _ => Err(format!("unrecognized level: {text:?} (valid values: [debug info warn error])")),
        }
    }
}

impl LogLevel {
    /// As a filter directive.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}
