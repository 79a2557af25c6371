//! [`Names`]: which metrics there are, and the labels of a series.
//!
//! Metrics are in groups. All metrics of a group have the same labels, and the series of one level.

mod istio;
mod kmesh;
mod mesh_labels;
mod otel;
mod translation;

use std::borrow::Cow;

use longwave_pipeline::component::FamilyKind;
use longwave_pipeline::model::metric::Id;
use longwave_pipeline::model::{Level, Measures, SeriesKey};

use self::mesh_labels::MeshLabels;
use super::config::{Naming, PrometheusConfig};

/// Names of the page.
#[derive(Debug)]
pub(super) struct Names {
    groups: Vec<GroupNames>,
    labels: LabelNames,
    /// Labels that all series have.
    common: Vec<(String, String)>,
    /// Labels of `target_info`.
    resource: Vec<(String, String)>,
}

/// The metrics of one group.
#[derive(Debug)]
pub(super) struct GroupNames {
    pub(super) level: Level,
    pub(super) metrics: Vec<MetricNames>,
    labels: MeshGroup,
}

/// A metric of the page.
#[derive(Debug)]
pub(super) struct MetricNames {
    /// Name without the suffix of a counter.
    pub(super) name: String,
    pub(super) unit: &'static str,
    pub(super) kind: FamilyKind,
    pub(super) help: Cow<'static, str>,
    pub(super) value: Value,
}

/// Value of a metric.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    /// The points of a metric of windows.
    Points(Id),
    /// A sum.
    Sum(fn(&SeriesKey, &Measures) -> u64),
}

/// How labels are made.
#[derive(Debug)]
enum LabelNames {
    Otel { escapes: bool },
    Mesh(MeshLabels),
}

/// Labels that a group has in addition to those of all groups of Istio's or Kmesh's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MeshGroup {
    /// `destination_service`, `destination_service_name` and `destination_service_namespace`.
    service: bool,
    /// `destination_pod_address`, `destination_pod_namespace` and `destination_pod_name`.
    pod: bool,
    /// `start_time`, `source_address` and `destination_address`.
    connection: bool,
}

// === impl Names ===

impl Names {
    /// Makes the names for a configuration. `resource` contains the attributes of this process.
    pub(super) fn new(config: &PrometheusConfig, resource: &[(String, String)]) -> Self {
        let strategy = config.translation_strategy;
        let mesh = |domain: &str| LabelNames::Mesh(MeshLabels::new(domain, resource));
        let (groups, labels) = match config.naming {
            Naming::Otel => (otel::groups(strategy), LabelNames::Otel { escapes: strategy.escapes() }),
            Naming::Istio => (istio::groups(), mesh(&config.cluster_domain)),
            Naming::Kmesh => (kmesh::groups(), mesh(&config.cluster_domain)),
        };
        let escapes = config.naming != Naming::Otel || strategy.escapes();
        let resource: Vec<_> =
            resource.iter().map(|(key, value)| (translation::label(key, escapes), value.clone())).collect();
        let mut common: Vec<(String, String)> = Vec::new();
        if config.resource_to_telemetry_conversion.enabled {
            common.extend_from_slice(&resource);
        }
        if config.naming == Naming::Otel && !config.without_scope_info {
            common.push(("otel_scope_name".to_owned(), "longwave".to_owned()));
            common.push(("otel_scope_version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
        }
        for (name, value) in &config.const_labels {
            // Like Prometheus' own libraries, a constant label replaces another of the same name.
            common.retain(|(known, _)| known != name);
            common.push((name.clone(), value.clone()));
        }
        Self { groups, labels, common, resource }
    }

    pub(super) fn groups(&self) -> &[GroupNames] {
        &self.groups
    }

    /// Returns the labels of `target_info`.
    pub(super) fn resource(&self) -> &[(String, String)] {
        &self.resource
    }

    /// Visits the labels of a series in a group.
    pub(super) fn for_each_label(
        &self,
        group: &GroupNames,
        key: &SeriesKey,
        visit: &mut dyn FnMut(&str, &str),
    ) {
        let is_common = |name: &str| self.common.iter().any(|(common, _)| common == name);
        let mut own = |name: &str, value: &str| {
            if !is_common(name) {
                visit(name, value);
            }
        };
        match &self.labels {
            LabelNames::Otel { escapes } => otel::for_each_label(key, *escapes, &mut own),
            LabelNames::Mesh(labels) => labels.for_each(group.labels, key, &mut own),
        }
        for (name, value) in &self.common {
            visit(name, value);
        }
    }

    /// Returns a text that is equal for two series of a group if and only if their labels are.
    pub(super) fn identity(&self, group: &GroupNames, key: &SeriesKey) -> Box<str> {
        let mut text = String::new();
        self.for_each_label(group, key, &mut |name, value| {
            // Names have no quotes or control characters, so that the text has only one meaning.
            text.push_str(name);
            text.push('=');
            text.push_str(&value.len().to_string());
            text.push(':');
            text.push_str(value);
        });
        text.into()
    }
}
