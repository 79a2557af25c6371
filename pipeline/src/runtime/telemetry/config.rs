//! [`TelemetryConfig`]: the section `service::telemetry`.

use longwave_config::GoDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::logs::LogConfig;
use super::readers::{OtlpReaderConfig, PeriodicConfig, PeriodicExporterConfig, ReaderConfig};
use super::resource::ResourceChanges;
use crate::component::Problems;

/// `service::telemetry`: how Longwave reports on itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TelemetryConfig {
    /// Log messages on stderr.
    pub logs: LogConfig,
    /// Metrics of Longwave itself.
    pub metrics: MetricConfig,
    /// Changes to the resource of everything that is exported: a value adds or replaces an attribute, null removes it. The Collector's list
    /// `attributes` is accepted instead.
    #[schemars(example = serde_json::json!({"deployment.environment.name": "production"}))]
    #[serde(skip_serializing_if = "ResourceChanges::is_empty", deserialize_with = "super::resource::read")]
    pub resource: ResourceChanges,
}

/// Metrics of Longwave itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MetricConfig {
    /// Which metrics are published. `none` turns the page and the export off.
    pub level: MetricLevel,
    /// `host:port` of the Prometheus page (`/metrics`).
    pub address: PageAddress,
    /// Export by OTLP, in addition to the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpConfig>,
    /// Pages and exports in the Collector's grammar, instead of `address` and `otlp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readers: Option<Vec<ReaderConfig>>,
}

/// `host:port` of the page. If it is the default, a port that is in use is only a warning, because the user did not ask for the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
pub struct PageAddress {
    text: String,
    is_default: bool,
    /// Whether it is in `readers`, and not in `address`.
    is_reader: bool,
}

/// Which metrics are published. The configuration may use upper case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum MetricLevel {
    /// No metrics. There is no page.
    None,
    /// Only items that receivers accept and exporters send, and the process.
    Basic,
    /// All metrics except those for developers.
    #[default]
    Normal,
    /// All metrics.
    Detailed,
}

/// Export by OTLP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OtlpProtocol {
    /// gRPC.
    #[default]
    #[serde(rename = "grpc")]
    Grpc,
    /// HTTP with protobuf bodies.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

/// Address of the page if it is not set.
const DEFAULT_ADDRESS: &str = "localhost:8888";
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
        self.logs.validate(problems);
        self.metrics.validate_readers(problems);
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
        Self {
            level: MetricLevel::default(),
            address: PageAddress::default_of(DEFAULT_ADDRESS),
            otlp: None,
            readers: None,
        }
    }
}

impl MetricConfig {
    fn validate_readers(&self, problems: &mut Problems) {
        let Some(readers) = &self.readers else { return };
        if readers.is_empty() && self.level != MetricLevel::None {
            problems.at("metrics::readers", "must have an element (level: none turns self-telemetry off)");
        }
        // `print-config` prints the default.
        let is_address_set = self.address.as_str() != DEFAULT_ADDRESS;
        for (key, is_set) in [("address", is_address_set), ("otlp", self.otlp.is_some())] {
            if is_set {
                problems.at(format!("metrics::{key}"), "cannot be combined with readers: remove one of them");
            }
        }
        let mut pages = 0;
        for (index, reader) in readers.iter().enumerate() {
            let path = format!("metrics::readers::{index}");
            pages += u32::from(reader.pull.is_some());
            if reader.pull.is_some() && pages > 1 {
                problems.at(format!("{path}::pull"), "there can be only one page: remove this element");
            }
            reader.validate(&path, problems);
        }
    }

    /// Returns the address of the page; `None` if there is none.
    pub(super) fn page(&self) -> Option<PageAddress> {
        let Some(readers) = &self.readers else { return Some(self.address.clone()) };
        let page = readers.iter().find_map(|reader| reader.pull.as_ref()?.exporter.prometheus.as_ref())?;
        Some(PageAddress { text: page.address(), is_default: false, is_reader: true })
    }

    /// Returns the periodic exports, each with its section for errors.
    pub(super) fn exports(&self) -> Vec<(String, PeriodicConfig)> {
        let Some(readers) = &self.readers else {
            let own = self
                .otlp
                .iter()
                .map(|otlp| ("service::telemetry::metrics::otlp".to_owned(), otlp.periodic()));
            return own.collect();
        };
        let exports = readers.iter().enumerate().filter_map(|(index, reader)| {
            let section = format!("service::telemetry::metrics::readers::{index}::periodic::exporter::otlp");
            Some((section, reader.periodic.clone()?))
        });
        exports.collect()
    }
}

// === impl PageAddress ===

impl PageAddress {
    /// Returns `text` as the address that the configuration does not set.
    pub(super) fn default_of(text: &str) -> Self {
        Self { text: text.to_owned(), is_default: true, is_reader: false }
    }

    /// Returns `host:port`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the setting that contains it, for errors.
    pub(super) fn setting(&self) -> &'static str {
        if self.is_reader {
            "service::telemetry::metrics::readers: pull::exporter::prometheus"
        } else {
            "service::telemetry::metrics: address"
        }
    }

    /// Returns whether the configuration does not set it.
    pub fn is_default(&self) -> bool {
        self.is_default
    }
}

impl From<String> for PageAddress {
    fn from(text: String) -> Self {
        Self { text, is_default: false, is_reader: false }
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

impl OtlpConfig {
    /// Returns the same export in the Collector's grammar.
    fn periodic(&self) -> PeriodicConfig {
        let base = self.endpoint.trim_end_matches('/');
        let path = if self.protocol == OtlpProtocol::HttpProtobuf { "/v1/metrics" } else { "" };
        let otlp = OtlpReaderConfig {
            endpoint: format!("{base}{path}"),
            protocol: self.protocol,
            ..OtlpReaderConfig::default()
        };
        PeriodicConfig {
            interval: u64::try_from(self.interval.get().as_millis()).unwrap_or(u64::MAX).max(1),
            exporter: PeriodicExporterConfig { otlp: Some(otlp) },
            ..PeriodicConfig::default()
        }
    }
}
