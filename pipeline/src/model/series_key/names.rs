//! [`WorkloadKey`] and [`ServiceKey`]: the names of a series' key.

use std::sync::Arc;

use crate::model::attributes::{ServiceView, WorkloadView};
use crate::model::names::{Label, LabelKey, Service, UNKNOWN, Workload};
use crate::model::rung::Rung;
use crate::model::series_attributes::{Attribute, SeriesAttributes};

/// A service as part of a series' key. `None` is no attribute, an empty text is an unknown name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServiceKey {
    /// Name of the service.
    pub name: Option<Arc<str>>,
    /// Kubernetes namespace.
    pub namespace: Option<Arc<str>>,
    /// Whether several services match.
    pub ambiguous: bool,
}

/// A workload as part of a series' key. Of the names, `None` is no attribute, and an empty text is an unknown name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WorkloadKey {
    /// Name of the topmost owner.
    pub name: Option<Arc<str>>,
    /// Kind of the topmost owner, such as `Deployment`.
    pub kind: Option<Arc<str>>,
    /// Kubernetes namespace.
    pub namespace: Option<Arc<str>>,
    /// Labels, pod, node and container. `None` if all of them are empty, as for most series.
    pub details: Option<Box<WorkloadDetails>>,
}

/// Details of a workload as part of a series' key. Empty fields have no attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WorkloadDetails {
    /// Labels and annotations that the configuration selects, in its order.
    pub labels: Arc<[Label]>,
    /// Pod name.
    pub pod: Arc<str>,
    /// Node name.
    pub node: Arc<str>,
    /// Container name.
    pub container: Arc<str>,
}

/// The attributes of a workload at one end.
pub(super) struct End {
    name: Attribute,
    kind: Attribute,
    namespace: Attribute,
    pod: Attribute,
    node: Attribute,
    container: Attribute,
    label: fn(&LabelKey) -> &str,
}

pub(super) const SOURCE: End = End {
    name: Attribute::SourceWorkloadName,
    kind: Attribute::SourceWorkloadKind,
    namespace: Attribute::SourceNamespace,
    pod: Attribute::SourcePod,
    node: Attribute::SourceNode,
    container: Attribute::SourceContainer,
    label: |key| &key.source,
};

pub(super) const DESTINATION: End = End {
    name: Attribute::DestinationWorkloadName,
    kind: Attribute::DestinationWorkloadKind,
    namespace: Attribute::DestinationNamespace,
    pod: Attribute::DestinationPod,
    node: Attribute::DestinationNode,
    container: Attribute::DestinationContainer,
    label: |key| &key.destination,
};

// === impl ServiceKey ===

impl ServiceKey {
    pub(super) fn new(service: Option<&Service>, attributes: &SeriesAttributes) -> Self {
        let text = |attribute, of: fn(&Service) -> &Arc<str>| {
            attributes.has(attribute).then(|| service.map(of).map(known).unwrap_or_default())
        };
        Self {
            name: text(Attribute::ServiceName, |service| &service.name),
            namespace: text(Attribute::ServiceNamespace, |service| &service.namespace),
            ambiguous: attributes.has(Attribute::ServiceAmbiguous)
                && service.is_some_and(|service| service.ambiguous),
        }
    }

    pub(super) fn folded(&self, rung: Rung) -> Self {
        if rung < Rung::Namespace {
            return self.clone();
        }
        Self { name: None, namespace: self.namespace.clone(), ambiguous: false }
    }

    pub(super) fn view(&self) -> ServiceView<'_> {
        let Self { name, namespace, ambiguous } = self;
        ServiceView { name: name.as_deref(), namespace: namespace.as_deref(), ambiguous: *ambiguous }
    }
}

// === impl WorkloadKey ===

impl WorkloadKey {
    pub(super) fn new(workload: Option<&Workload>, attributes: &SeriesAttributes, end: &End) -> Self {
        let text = |attribute, of: fn(&Workload) -> &Arc<str>| {
            attributes.has(attribute).then(|| workload.map(of).map(known).unwrap_or_default())
        };
        Self {
            name: text(end.name, |workload| &workload.name),
            kind: text(end.kind, |workload| &workload.kind),
            namespace: text(end.namespace, |workload| &workload.namespace),
            details: workload
                .and_then(|workload| WorkloadDetails::new(workload, attributes, end))
                .map(Box::new),
        }
    }

    pub(super) fn folded(&self, rung: Rung) -> Self {
        let has_names = rung < Rung::Namespace;
        Self {
            name: self.name.clone().filter(|_| has_names),
            kind: self.kind.clone().filter(|_| has_names),
            namespace: self.namespace.clone(),
            details: if rung == Rung::Pod { self.details.clone() } else { None },
        }
    }

    pub(super) fn view(&self) -> WorkloadView<'_> {
        let names = WorkloadView {
            name: self.name.as_deref(),
            kind: self.kind.as_deref(),
            namespace: self.namespace.as_deref(),
            ..WorkloadView::default()
        };
        match self.details.as_deref() {
            None => names,
            Some(WorkloadDetails { labels, pod, node, container }) => {
                WorkloadView { labels, pod, node, container, ..names }
            }
        }
    }
}

// === impl WorkloadDetails ===

impl WorkloadDetails {
    fn new(workload: &Workload, attributes: &SeriesAttributes, end: &End) -> Option<Self> {
        let text = |attribute, text: &Arc<str>| {
            if attributes.has(attribute) { Arc::clone(text) } else { Arc::default() }
        };
        let details = Self {
            labels: attributes.labels(&workload.labels, end.label),
            pod: text(end.pod, &workload.pod),
            node: text(end.node, &workload.node),
            container: text(end.container, &workload.container),
        };
        (details != Self::default()).then_some(details)
    }
}

/// Returns the text, or an empty one in place of [`UNKNOWN`], so that both give equal keys.
fn known(text: &Arc<str>) -> Arc<str> {
    if **text == *UNKNOWN { Arc::default() } else { Arc::clone(text) }
}
