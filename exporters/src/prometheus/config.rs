//! Settings of `prometheus`.

use std::collections::BTreeMap;

use longwave_config::GoDuration;
use longwave_pipeline::component::{
    BasicAuthConfig, ComponentConfig, Problems, ServerTlsConfig, exclusive_port, is_legacy_name,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Section of a `prometheus` exporter. Keys and defaults are those of the Collector's exporter where it has them.
///
/// ```yaml
/// exporters:
///   prometheus:
///     endpoint: localhost:9464
///     naming: otel
///     translation_strategy: UnderscoreEscapingWithSuffixes
///     metric_expiration: 5m
///     final_scrape_timeout: 0s
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PrometheusConfig {
    /// `host:port` to listen on. The page is `/metrics`.
    pub endpoint: String,
    /// Serves HTTPS. Default: HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTlsConfig>,
    /// Requires a user name and a password. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuthConfig>,
    /// Which names metrics and labels have.
    pub naming: Naming,
    /// How OpenTelemetry's names become Prometheus' names. Only used with `naming: otel`.
    pub translation_strategy: TranslationStrategy,
    /// Labels that all series have in addition.
    #[schemars(example = serde_json::json!({"team": "platform"}))]
    pub const_labels: BTreeMap<String, String>,
    /// Resource attributes as labels of all series. They are always labels of `target_info`.
    pub resource_to_telemetry_conversion: ResourceConversion,
    /// True leaves out the labels `otel_scope_name` and `otel_scope_version`. Only used with `naming: otel`.
    pub without_scope_info: bool,
    /// Longest time for which a series remains after its end. It is removed earlier if every scraper has seen its last value twice.
    pub metric_expiration: GoDuration,
    /// Longest time for which a stop waits until the last windows have been scraped. Otherwise Prometheus misses what was counted since its
    /// last scrape. Use more than the scrape interval, and less than the time after which the process is killed. `0s`: no wait.
    pub final_scrape_timeout: GoDuration,
    /// Domain of the cluster, for the fully qualified names of services in Istio's and Kmesh's labels.
    pub cluster_domain: String,
}

/// Which names metrics and labels have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Naming {
    /// Longwave's own, as by OTLP.
    #[default]
    Otel,
    /// Those of Istio's standard metrics and of ztunnel, which Kiali reads. `sent` is from server to client for both reporters.
    Istio,
    /// Those of Kmesh, whose dashboards read them.
    Kmesh,
}

/// How OpenTelemetry's names become Prometheus' names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TranslationStrategy {
    /// Dots become underscores. Units and `_total` are appended.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Dots become underscores. Nothing is appended.
    UnderscoreEscapingWithoutSuffixes,
    /// Dots remain if the client accepts them. Units and `_total` are appended.
    NoUTF8EscapingWithSuffixes,
    /// Names remain as they are if the client accepts them.
    NoTranslation,
}

/// Resource attributes as labels of all series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ResourceConversion {
    /// Whether all series have the resource attributes.
    pub enabled: bool,
}

/// Longest `metric_expiration`. Series that have ended take memory until then.
const MAX_EXPIRATION: GoDuration = GoDuration::from_secs(30 * 24 * 3600);
/// Longest `final_scrape_timeout`. Until then a stop waits.
const MAX_FINAL_SCRAPE: GoDuration = GoDuration::from_secs(3600);

// === impl PrometheusConfig ===

impl Default for PrometheusConfig {
    fn default() -> Self {
        Self {
            endpoint: "localhost:9464".to_owned(),
            tls: None,
            basic_auth: None,
            naming: Naming::default(),
            translation_strategy: TranslationStrategy::default(),
            const_labels: BTreeMap::new(),
            resource_to_telemetry_conversion: ResourceConversion::default(),
            without_scope_info: false,
            metric_expiration: GoDuration::from_secs(300),
            final_scrape_timeout: GoDuration::from_secs(0),
            cluster_domain: "cluster.local".to_owned(),
        }
    }
}

impl ComponentConfig for PrometheusConfig {
    fn exclusive(&self) -> Vec<String> {
        exclusive_port(&self.endpoint)
    }

    fn validate(&self, problems: &mut Problems) {
        if !self.endpoint.contains(':') {
            problems.at("endpoint", "must be host:port, for example localhost:9464");
        }
        if let Some(tls) = &self.tls {
            tls.validate(problems);
        }
        if let Some(auth) = &self.basic_auth {
            auth.validate(problems);
        }
        for name in self.const_labels.keys() {
            if !is_legacy_name(name) || name.contains(':') || name.starts_with("__") {
                let text =
                    "is not a label name: use letters, digits and _, and do not begin with a digit or __";
                problems.at(format!("const_labels::{name}"), text);
            } else if name == "le" {
                problems.at("const_labels::le", "is the label of histogram buckets: choose another name");
            }
        }
        if self.metric_expiration.is_zero() {
            problems.at("metric_expiration", "must be positive, for example 5m");
        }
        problems.at_most("metric_expiration", self.metric_expiration, MAX_EXPIRATION);
        problems.at_most("final_scrape_timeout", self.final_scrape_timeout, MAX_FINAL_SCRAPE);
        if self.cluster_domain.is_empty() {
            problems.at("cluster_domain", "must be set, for example to cluster.local");
        }
    }
}

// === impl TranslationStrategy ===

impl TranslationStrategy {
    /// Returns whether units and `_total` are appended.
    pub(super) fn has_suffixes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::NoUTF8EscapingWithSuffixes)
    }

    /// Returns whether dots become underscores.
    pub(super) fn escapes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes)
    }
}
