//! Names and order of a flow's attributes. `docs/DATA.md` lists the attributes of each level and of log records.

use std::fmt;

use crate::model::names::{Label, Service, UNKNOWN, Workload};
use crate::model::record::{ConnectionRecord, Reporter};
use crate::model::rung::Rung;
use crate::model::series_key::ConnectionKey;
use crate::model::time::Rfc3339;

/// Attribute keys.
#[allow(missing_docs, reason = "each constant is its own key")]
pub mod key {
    pub const REPORTER: &str = "reporter";
    pub const SOURCE_WORKLOAD_NAME: &str = "source.workload.name";
    pub const SOURCE_WORKLOAD_KIND: &str = "source.workload.kind";
    pub const SOURCE_NAMESPACE: &str = "source.k8s.namespace.name";
    pub const SOURCE_POD: &str = "source.k8s.pod.name";
    pub const SOURCE_NODE: &str = "source.k8s.node.name";
    pub const SOURCE_CONTAINER: &str = "source.container.name";
    pub const DESTINATION_SERVICE_NAME: &str = "destination.service.name";
    pub const DESTINATION_SERVICE_NAMESPACE: &str = "destination.service.namespace";
    pub const DESTINATION_WORKLOAD_NAME: &str = "destination.workload.name";
    pub const DESTINATION_WORKLOAD_KIND: &str = "destination.workload.kind";
    pub const DESTINATION_NAMESPACE: &str = "destination.k8s.namespace.name";
    pub const DESTINATION_POD: &str = "destination.k8s.pod.name";
    pub const DESTINATION_NODE: &str = "destination.k8s.node.name";
    pub const DESTINATION_CONTAINER: &str = "destination.container.name";
    pub const SOURCE_ADDRESS: &str = "source.address";
    pub const SOURCE_PORT: &str = "source.port";
    pub const DESTINATION_ADDRESS: &str = "destination.address";
    pub const DESTINATION_PORT: &str = "destination.port";
    pub const CONNECTION_ID: &str = "longwave.connection.id";
    pub const CONNECTION_START_TIME: &str = "longwave.connection.start_time";
    pub const CONNECTION_ROLE: &str = "longwave.connection.role";
    pub const SERVICE_AMBIGUOUS: &str = "longwave.service.ambiguous";
    pub const FOLDED: &str = "longwave.folded";
    pub const OVERFLOW: &str = "otel.metric.overflow";
    pub const CLOSE_REASON: &str = "longwave.close.reason";
    pub const ERROR_TYPE: &str = "error.type";
    pub const LOG_RECORD_UID: &str = "log.record.uid";
}

/// Value of an attribute, borrowed for a visitor.
#[derive(Clone, Copy)]
pub enum AttributeValue<'a> {
    /// Text.
    Str(&'a str),
    /// Text that the visitor must format (an address, a time, an id).
    Text(&'a dyn fmt::Display),
    /// Whole number.
    Int(u64),
    /// Number with a fraction.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// A name that no source resolved. Visited so that outputs for people can show [`UNKNOWN`]; OpenTelemetry leaves it out.
    Unknown,
}

/// A flow, borrowed from a record or a series' key.
pub(crate) struct FlowView<'a> {
    pub(crate) reporter: Reporter,
    pub(crate) source: WorkloadView<'a>,
    pub(crate) service: ServiceView<'a>,
    pub(crate) destination: WorkloadView<'a>,
    pub(crate) connection: Option<ConnectionKey>,
    pub(crate) folded: Option<Rung>,
}

/// A service, borrowed from a record or a series' key. `None` is no attribute, an empty text is an unknown name.
#[derive(Clone, Copy, Default)]
pub(crate) struct ServiceView<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) ambiguous: bool,
}

/// A workload, borrowed from a record or a series' key. Of the names, `None` is no attribute, and an empty text is an unknown name. The other
/// empty texts are no attributes.
#[derive(Clone, Copy, Default)]
pub(crate) struct WorkloadView<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) kind: Option<&'a str>,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) labels: &'a [Label],
    pub(crate) pod: &'a str,
    pub(crate) node: &'a str,
    pub(crate) container: &'a str,
}

// === impl FlowView ===

impl<'a> FlowView<'a> {
    /// Returns the record's flow with all details.
    pub(crate) fn of_record(record: &'a ConnectionRecord) -> Self {
        let workload = |workload: Option<&'a Workload>| {
            workload.map_or(WorkloadView::UNKNOWN, WorkloadView::of_workload)
        };
        let service = |Service { name, namespace, ambiguous }: &'a Service| ServiceView {
            name: Some(name),
            namespace: Some(namespace),
            ambiguous: *ambiguous,
        };
        Self {
            reporter: record.role.reporter(),
            source: workload(record.source_workload().map(|handle| &**handle)),
            service: record.names.service.as_deref().map_or(ServiceView::UNKNOWN, service),
            destination: workload(record.destination_workload().map(|handle| &**handle)),
            connection: Some(ConnectionKey::of_record(record)),
            folded: None,
        }
    }
}

// === impl WorkloadView ===

impl<'a> WorkloadView<'a> {
    const UNKNOWN: Self = Self {
        name: Some(""),
        kind: Some(""),
        namespace: Some(""),
        labels: &[],
        pod: "",
        node: "",
        container: "",
    };

    fn of_workload(workload: &'a Workload) -> Self {
        let Workload { name, kind, namespace, pod, node, container, labels, .. } = workload;
        let (name, kind, namespace) = (Some(&**name), Some(&**kind), Some(&**namespace));
        Self { name, kind, namespace, labels, pod, node, container }
    }
}

// === impl ServiceView ===

impl ServiceView<'_> {
    const UNKNOWN: Self = Self { name: Some(""), namespace: Some(""), ambiguous: false };
}

/// Visits the attributes of a flow, in the order of the output. Only this function defines the order.
pub(crate) fn for_each_of_flow(flow: &FlowView<'_>, visit: &mut dyn FnMut(&str, AttributeValue<'_>)) {
    let FlowView { reporter, source, service, destination, connection, folded } = flow;
    visit(key::REPORTER, AttributeValue::Str(reporter.as_str()));
    names([key::SOURCE_WORKLOAD_NAME, key::SOURCE_WORKLOAD_KIND, key::SOURCE_NAMESPACE], source, visit);
    name(key::DESTINATION_SERVICE_NAME, service.name, visit);
    name(key::DESTINATION_SERVICE_NAMESPACE, service.namespace, visit);
    if service.ambiguous {
        visit(key::SERVICE_AMBIGUOUS, AttributeValue::Bool(true));
    }
    names(
        [key::DESTINATION_WORKLOAD_NAME, key::DESTINATION_WORKLOAD_KIND, key::DESTINATION_NAMESPACE],
        destination,
        visit,
    );
    for label in source.labels {
        visit(&label.key.source, AttributeValue::Str(&label.value));
    }
    for label in destination.labels {
        visit(&label.key.destination, AttributeValue::Str(&label.value));
    }
    location([key::SOURCE_POD, key::SOURCE_NODE, key::SOURCE_CONTAINER], source, visit);
    location([key::DESTINATION_POD, key::DESTINATION_NODE, key::DESTINATION_CONTAINER], destination, visit);
    if let Some(connection) = connection {
        of_connection(connection, visit);
    }
    if let Some(rung) = folded {
        visit(key::FOLDED, AttributeValue::Str(rung.as_str()));
    }
}

fn of_connection(connection: &ConnectionKey, visit: &mut dyn FnMut(&str, AttributeValue<'_>)) {
    let ConnectionKey { id, role, source, destination, opened } = connection;
    for (end, [address, port]) in [
        (source, [key::SOURCE_ADDRESS, key::SOURCE_PORT]),
        (destination, [key::DESTINATION_ADDRESS, key::DESTINATION_PORT]),
    ] {
        if let Some(value) = &end.address {
            visit(address, AttributeValue::Text(value));
        }
        if let Some(value) = end.port {
            visit(port, AttributeValue::Int(value.into()));
        }
    }
    if let Some(id) = id {
        visit(key::CONNECTION_ID, AttributeValue::Text(id));
    }
    if let Some(opened) = opened {
        visit(key::CONNECTION_START_TIME, AttributeValue::Text(&Rfc3339(*opened)));
    }
    if let Some(role) = role {
        visit(key::CONNECTION_ROLE, AttributeValue::Str(role.as_str()));
    }
}

fn names(keys: [&str; 3], workload: &WorkloadView<'_>, visit: &mut dyn FnMut(&str, AttributeValue<'_>)) {
    for (key, text) in keys.into_iter().zip([workload.name, workload.kind, workload.namespace]) {
        name(key, text, visit);
    }
}

fn name(key: &str, text: Option<&str>, visit: &mut dyn FnMut(&str, AttributeValue<'_>)) {
    if let Some(text) = text {
        visit(key, or_unknown(text));
    }
}

fn location(keys: [&str; 3], workload: &WorkloadView<'_>, visit: &mut dyn FnMut(&str, AttributeValue<'_>)) {
    for (key, text) in keys.into_iter().zip([workload.pod, workload.node, workload.container]) {
        if !text.is_empty() {
            visit(key, AttributeValue::Str(text));
        }
    }
}

fn or_unknown(text: &str) -> AttributeValue<'_> {
    if text.is_empty() || text == UNKNOWN { AttributeValue::Unknown } else { AttributeValue::Str(text) }
}
