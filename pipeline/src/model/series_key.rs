//! [`SeriesKey`]: the typed key of a series. Exporters turn it into attributes with [`SeriesKey::for_each_attribute`].

use std::sync::Arc;

use crate::model::attributes::{AttributeValue, FlowView, WorkloadView, for_each_of_flow, key};
use crate::model::edited_key::EditedKey;
use crate::model::level::Level;
use crate::model::names::{Handle, Label, Service, UNKNOWN, Workload};
use crate::model::record::{ConnectionId, ConnectionRecord, Endpoint, Names, Reporter, Role};
use crate::model::time::UnixNanos;

/// Key of a series within its level. Two keys are equal if and only if their attributes are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SeriesKey {
    /// The overflow series, for series beyond `max_series`.
    Overflow,
    /// A flow between two ends.
    Flow(FlowKey),
    /// A series whose attributes a processor has changed.
    Edited(Box<EditedKey>),
}

/// A flow between two ends, as one of them reports it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// The reporting end.
    pub reporter: Reporter,
    /// The client's workload.
    pub source: WorkloadKey,
    /// The service that the client connected to. Empty texts are unknown.
    pub service: Service,
    /// The server's workload; `None` at level `service`.
    pub destination: Option<WorkloadKey>,
    /// The connection; `None` except at level `connection`.
    pub connection: Option<Box<ConnectionKey>>,
}

/// A workload as part of a series' key. Empty texts are unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WorkloadKey {
    /// Name of the topmost owner.
    pub name: Arc<str>,
    /// Kind of the topmost owner, such as `Deployment`.
    pub kind: Arc<str>,
    /// Kubernetes namespace.
    pub namespace: Arc<str>,
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

/// One connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionKey {
    /// Identity of the connection.
    pub id: ConnectionId,
    /// Role of the reporting socket.
    pub role: Role,
    /// The client's end.
    pub source: Endpoint,
    /// The server's end.
    pub destination: Endpoint,
    /// Time of the open; `None` if unknown.
    pub opened: Option<UnixNanos>,
}

/// Optional attributes of the series of level `workload`. Series of level `connection` and log records always have all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// `{source,destination}.k8s.pod.name`.
    pub pod: bool,
    /// `{source,destination}.k8s.node.name`.
    pub node: bool,
    /// `{source,destination}.container.name`.
    pub container: bool,
}

// Every series stores a key, so a larger key costs memory for each series.
const _: () = assert!(size_of::<SeriesKey>() == 168);

// === impl SeriesKey ===

impl SeriesKey {
    /// Returns the key of the record's series at `level`. `detail` applies to level `workload`.
    pub fn of_record(level: Level, record: &ConnectionRecord, detail: Detail) -> Self {
        let mut flow = FlowKey::of_names(level, record.role, &record.names, detail);
        flow.connection = (level == Level::Connection).then(|| Box::new(ConnectionKey::of_record(record)));
        Self::Flow(flow)
    }

    /// Returns the key of the series of level `service` or `workload` for connections with these names. `detail` applies to level
    /// `workload`.
    pub fn of_names(level: Level, role: Role, names: &Names, detail: Detail) -> Self {
        Self::Flow(FlowKey::of_names(level, role, names, detail))
    }

    /// Visits the series' attributes, in the order of the output.
    pub fn for_each_attribute(&self, visit: &mut dyn FnMut(&str, AttributeValue<'_>)) {
        match self {
            Self::Overflow => visit(key::OVERFLOW, AttributeValue::Bool(true)),
            Self::Flow(flow) => for_each_of_flow(&flow.view(), visit),
            Self::Edited(edited) => edited.for_each_attribute(visit),
        }
    }

    /// Returns the flow; `None` for the overflow series.
    pub fn flow(&self) -> Option<&FlowKey> {
        match self {
            Self::Overflow => None,
            Self::Flow(flow) => Some(flow),
            Self::Edited(edited) => edited.flow(),
        }
    }
}

// === impl FlowKey ===

impl FlowKey {
    /// Returns the key without a connection.
    fn of_names(level: Level, role: Role, names: &Names, detail: Detail) -> Self {
        let detail = match level {
            Level::Service => None,
            Level::Workload => Some(detail),
            Level::Connection => Some(Detail { pod: true, node: true, container: true }),
        };
        let workload = |handle: &Option<Handle<Workload>>| WorkloadKey::new(handle.as_deref(), detail);
        let (source, destination) =
            if role.local_is_source() { (&names.local, &names.peer) } else { (&names.peer, &names.local) };
        Self {
            reporter: role.reporter(),
            source: workload(source),
            service: names.service.as_deref().map(service).unwrap_or_default(),
            destination: (level != Level::Service).then(|| workload(destination)),
            connection: None,
        }
    }

    fn view(&self) -> FlowView<'_> {
        FlowView {
            reporter: self.reporter,
            source: self.source.view(),
            service: (&self.service.name, &self.service.namespace, self.service.ambiguous),
            destination: self.destination.as_ref().map(WorkloadKey::view),
            connection: self.connection.as_deref().copied(),
        }
    }
}

// === impl WorkloadKey ===

impl WorkloadKey {
    /// Returns a key without labels and other details if `detail` is `None`.
    fn new(workload: Option<&Workload>, detail: Option<Detail>) -> Self {
        let Some(workload) = workload else { return Self::default() };
        let details = detail.and_then(|detail| WorkloadDetails::new(workload, detail));
        Self {
            name: known(&workload.name),
            kind: known(&workload.kind),
            namespace: known(&workload.namespace),
            details: details.map(Box::new),
        }
    }

    fn view(&self) -> WorkloadView<'_> {
        let names = WorkloadView {
            name: &self.name,
            kind: &self.kind,
            namespace: &self.namespace,
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
    fn new(workload: &Workload, detail: Detail) -> Option<Self> {
        let wanted = |wanted: bool, text: &Arc<str>| if wanted { Arc::clone(text) } else { Arc::default() };
        let details = Self {
            labels: Arc::clone(&workload.labels),
            pod: wanted(detail.pod, &workload.pod),
            node: wanted(detail.node, &workload.node),
            container: wanted(detail.container, &workload.container),
        };
        (details != Self::default()).then_some(details)
    }
}

// === impl ConnectionKey ===

impl ConnectionKey {
    /// Returns the key of the record's connection.
    pub(crate) fn of_record(record: &ConnectionRecord) -> Self {
        Self {
            id: record.id,
            role: record.role,
            source: record.source(),
            destination: record.destination(),
            opened: record.start_known.then_some(record.opened),
        }
    }
}

fn service(service: &Service) -> Service {
    let Service { name, namespace, ambiguous } = service;
    Service { name: known(name), namespace: known(namespace), ambiguous: *ambiguous }
}

/// Returns the text, or an empty one in place of [`UNKNOWN`], so that both give equal keys.
fn known(text: &Arc<str>) -> Arc<str> {
    if **text == *UNKNOWN { Arc::default() } else { Arc::clone(text) }
}

#[cfg(test)]
mod tests;
