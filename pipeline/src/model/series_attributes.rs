//! [`SeriesAttributes`]: which attributes the series of a level have.

use std::sync::Arc;

use crate::model::attributes::key;
use crate::model::level::Level;
use crate::model::names::{Label, LabelKey};

/// Which attributes the series of a level have. `reporter` is always one of them, because sent and received are from its view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesAttributes {
    /// Bit set of [`Attribute`].
    fixed: u32,
    labels: SelectedLabels,
}

/// Labels, annotations and other attributes of workloads whose names depend on the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
enum SelectedLabels {
    All,
    /// Names of attributes, with the prefix of their end.
    Named(Arc<[Box<str>]>),
}

/// An attribute that has the same name in every configuration. The number is the index in [`FIXED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Attribute {
    Reporter,
    SourceWorkloadName,
    SourceWorkloadKind,
    SourceNamespace,
    ServiceName,
    ServiceNamespace,
    ServiceAmbiguous,
    DestinationWorkloadName,
    DestinationWorkloadKind,
    DestinationNamespace,
    SourcePod,
    SourceNode,
    SourceContainer,
    DestinationPod,
    DestinationNode,
    DestinationContainer,
    SourceAddress,
    SourcePort,
    DestinationAddress,
    DestinationPort,
    ConnectionId,
    ConnectionStartTime,
    ConnectionRole,
}

/// Names of the attributes, in the order of [`Attribute`].
const FIXED: [&str; 23] = [
    key::REPORTER,
    key::SOURCE_WORKLOAD_NAME,
    key::SOURCE_WORKLOAD_KIND,
    key::SOURCE_NAMESPACE,
    key::DESTINATION_SERVICE_NAME,
    key::DESTINATION_SERVICE_NAMESPACE,
    key::SERVICE_AMBIGUOUS,
    key::DESTINATION_WORKLOAD_NAME,
    key::DESTINATION_WORKLOAD_KIND,
    key::DESTINATION_NAMESPACE,
    key::SOURCE_POD,
    key::SOURCE_NODE,
    key::SOURCE_CONTAINER,
    key::DESTINATION_POD,
    key::DESTINATION_NODE,
    key::DESTINATION_CONTAINER,
    key::SOURCE_ADDRESS,
    key::SOURCE_PORT,
    key::DESTINATION_ADDRESS,
    key::DESTINATION_PORT,
    key::CONNECTION_ID,
    key::CONNECTION_START_TIME,
    key::CONNECTION_ROLE,
];

/// What the names of labels begin with, after the prefix of their end. A name that ends with a dot needs a key.
const LABELS: [&str; 5] = [
    "k8s.pod.label.",
    "k8s.pod.annotation.",
    "container.label.",
    "container.image.name",
    "container.runtime.name",
];

// === impl SeriesAttributes ===

impl SeriesAttributes {
    /// Returns the attributes that series of `level` have by default.
    pub fn of(level: Level) -> Self {
        let (first_other, labels) = match level {
            Level::Service => (Attribute::DestinationWorkloadName, SelectedLabels::none()),
            Level::Workload => (Attribute::SourcePod, SelectedLabels::All),
            Level::Connection => return Self { fixed: bits_below(FIXED.len()), labels: SelectedLabels::All },
        };
        Self { fixed: bits_below(first_other as usize), labels }
    }

    /// Returns a selection of attributes by their names. Unknown names are ignored.
    pub fn select<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut labels = Vec::new();
        let mut fixed = bit(Attribute::Reporter as usize);
        for name in names {
            match FIXED.iter().position(|known| *known == name) {
                Some(index) => fixed |= bit(index),
                None => labels.push(name.into()),
            }
        }
        Self { fixed, labels: SelectedLabels::Named(labels.into()) }
    }

    /// Returns the names of the attributes that can be selected at `level`, without labels.
    pub fn names(level: Level) -> &'static [&'static str] {
        match level {
            Level::Connection => &FIXED,
            Level::Service | Level::Workload => &FIXED[..Attribute::SourceAddress as usize],
        }
    }

    /// Returns the names of the attributes of a connection: its ends, identity, start and role.
    pub(crate) fn connection_names() -> &'static [&'static str] {
        &FIXED[Attribute::SourceAddress as usize..]
    }

    /// Returns whether `name` is that of a label, an annotation or another attribute that every level can have if workloads have it.
    pub fn is_label(name: &str) -> bool {
        let of_end = name.strip_prefix("source.").or_else(|| name.strip_prefix("destination."));
        of_end.is_some_and(|name| {
            LABELS.iter().any(|label| match label.strip_suffix('.') {
                Some(_) => name.strip_prefix(label).is_some_and(|key| !key.is_empty()),
                None => name == *label,
            })
        })
    }

    /// Returns these attributes and others. Unknown names are ignored.
    #[must_use]
    pub fn with<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.fixed |= Self::select(names).fixed;
        self
    }

    /// Returns whether no two connections have the same attributes.
    pub fn identify_connections(&self) -> bool {
        self.has(Attribute::ConnectionId)
    }

    pub(crate) fn has(&self, attribute: Attribute) -> bool {
        self.fixed & bit(attribute as usize) != 0
    }

    /// Returns whether any attribute of a connection's ends is selected.
    pub(crate) fn has_connection(&self) -> bool {
        self.fixed >> Attribute::SourceAddress as usize != 0
    }

    /// Returns the labels that are selected. `name_of` returns the attribute's name for the end.
    pub(crate) fn labels(&self, labels: &Arc<[Label]>, name_of: impl Fn(&LabelKey) -> &str) -> Arc<[Label]> {
        match &self.labels {
            SelectedLabels::All => Arc::clone(labels),
            SelectedLabels::Named(names) if names.is_empty() => Arc::default(),
            SelectedLabels::Named(names) => {
                let is_named = |label: &&Label| names.iter().any(|name| **name == *name_of(&label.key));
                labels.iter().filter(is_named).cloned().collect()
            }
        }
    }
}

impl SelectedLabels {
    fn none() -> Self {
        Self::Named(Arc::default())
    }
}

fn bit(index: usize) -> u32 {
    1 << index
}

/// Returns the set of all attributes before `index`.
fn bits_below(index: usize) -> u32 {
    bit(index) - 1
}

#[cfg(test)]
mod tests;
