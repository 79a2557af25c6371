//! Names and order of a flow's attributes. `docs/DATA.md` lists the attributes of each level and of log records.

use std::fmt;

use crate::model::names::{Label, Service, UNKNOWN, Workload};
use crate::model::record::{ConnectionRecord, Reporter};
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
    /// Name, namespace, and whether it is ambiguous.
    pub(crate) service: (&'a str, &'a str, bool),
    pub(crate) destination: Option<WorkloadView<'a>>,
    pub(crate) connection: Option<ConnectionKey>,
}

/// A workload, borrowed from a record or a series' key. Empty texts are unknown.
#[derive(Clone, Copy, Default)]
pub(crate) struct WorkloadView<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) labels: &'a [Label],
    pub(crate) pod: &'a str,
    pub(crate) node: &'a str,
    pub(crate) container: &'a str,
}

// === impl FlowView ===

impl<'a> FlowView<'a> {
    /// Returns the record's flow with all details.
    pub(crate) fn of_record(record: &'a ConnectionRecord) -> Self {
        let workload =
            |workload: Option<&'a Workload>| workload.map(WorkloadView::of_workload).unwrap_or_default();
        let service =
            |Service { name, namespace, ambiguous }: &'a Service| (&**name, &**namespace, *ambiguous);
        Self {
            reporter: record.role.reporter(),
            source: workload(record.source_workload().map(|handle| &**handle)),
            service: record.names.service.as_deref().map(service).unwrap_or_default(),
            destination: Some(workload(record.destination_workload().map(|handle| &**handle))),
            connection: Some(ConnectionKey::of_record(record)),
        }
    }
}

// === impl WorkloadView ===

impl<'a> WorkloadView<'a> {
    fn of_workload(workload: &'a Workload) -> Self {
        let Workload { name, kind, namespace, pod, node, container, labels, .. } = workload;
        Self { name, kind, namespace, labels, pod, node, container }
    }
}

/// Visits the attributes of a flow, in the order of the output. Only this function defines the order.
pub(crate) fn for_each_of_flow(flow: &FlowView<'_>, visit: &mut dyn FnMut(&str, AttributeValue<'_>)) {
    let FlowView { reporter, source, service: (service_name, service_namespace, is_ambiguous), .. } = flow;
    visit(key::REPORTER, AttributeValue::Str(reporter.as_str()));
    names([key::SOURCE_WORKLOAD_NAME, key::SOURCE_WORKLOAD_KIND, key::SOURCE_NAMESPACE], source, visit);
    visit(key::DESTINATION_SERVICE_NAME, or_unknown(service_name));
    visit(key::DESTINATION_SERVICE_NAMESPACE, or_unknown(service_namespace));
    if *is_ambiguous {
        visit(key::SERVICE_AMBIGUOUS, AttributeValue::Bool(true));
    }
    let Some(destination) = &flow.destination else { return };
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
    let Some(ConnectionKey { id, role, source, destination, opened }) = &flow.connection else { return };
    visit(key::SOURCE_ADDRESS, AttributeValue::Text(&source.address));
    visit(key::SOURCE_PORT, AttributeValue::Int(source.port.into()));
    visit(key::DESTINATION_ADDRESS, AttributeValue::Text(&destination.address));
    visit(key::DESTINATION_PORT, AttributeValue::Int(destination.port.into()));
    visit(key::CONNECTION_ID, AttributeValue::Text(id));
    if let Some(opened) = opened {
        visit(key::CONNECTION_START_TIME, AttributeValue::Text(&Rfc3339(*opened)));
    }
    visit(key::CONNECTION_ROLE, AttributeValue::Str(role.as_str()));
}

fn names(
    [name, kind, namespace]: [&str; 3],
    workload: &WorkloadView<'_>,
    visit: &mut dyn FnMut(&str, AttributeValue<'_>),
) {
    visit(name, or_unknown(workload.name));
    visit(kind, or_unknown(workload.kind));
    visit(namespace, or_unknown(workload.namespace));
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
