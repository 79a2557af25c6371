//! Attribute names, values and sets. The table of names is DESIGN's: what each level of a metric and a log record carries.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::names::{Service, UNKNOWN, Workload};
use crate::record::ConnectionRecord;
use crate::window::Level;

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
}

/// An attribute's value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// Text.
    Str(Arc<str>),
    /// Number.
    Int(i64),
    /// Truth.
    Bool(bool),
}

/// A borrowed value, as a visitor gets it.
#[derive(Clone, Copy)]
pub enum ValueRef<'a> {
    /// Text.
    Str(&'a str),
    /// Text that has to be written out first (an address, a time, an id).
    Text(&'a dyn fmt::Display),
    /// Whole number.
    Int(u64),
    /// Number with a fraction.
    Float(f64),
    /// Truth.
    Bool(bool),
}

/// A series' key: pairs in the order in which they are shown; keys are distinct.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(pub Vec<(Cow<'static, str>, Value)>);

// === impl Attributes ===

impl Attributes {
    /// The key of the series of `level` that the record belongs to.
    pub fn of_record(level: Level, record: &ConnectionRecord) -> Self {
        let mut set = Self(Vec::with_capacity(24));
        set.put(key::REPORTER, record.role.reporter());
        let (source, destination) = (record.source_workload(), record.destination_workload());
        set.put_workload(
            [key::SOURCE_WORKLOAD_NAME, key::SOURCE_WORKLOAD_KIND, key::SOURCE_NAMESPACE],
            source.map(|handle| &**handle),
        );
        set.put_service(record.names.service.as_deref());
        if level == Level::Service {
            return set;
        }
        set.put_workload(
            [key::DESTINATION_WORKLOAD_NAME, key::DESTINATION_WORKLOAD_KIND, key::DESTINATION_NAMESPACE],
            destination.map(|handle| &**handle),
        );
        if level == Level::Workload {
            return set;
        }
        set.put_place(
            [key::SOURCE_POD, key::SOURCE_NODE, key::SOURCE_CONTAINER],
            source.map(|handle| &**handle),
        );
        set.put_place(
            [key::DESTINATION_POD, key::DESTINATION_NODE, key::DESTINATION_CONTAINER],
            destination.map(|handle| &**handle),
        );
        let (from, to) = (record.source(), record.destination());
        set.put(key::SOURCE_ADDRESS, &from.address.to_string());
        set.put_int(key::SOURCE_PORT, from.port.into());
        set.put(key::DESTINATION_ADDRESS, &to.address.to_string());
        set.put_int(key::DESTINATION_PORT, to.port.into());
        set.put(key::CONNECTION_ID, &record.id.to_string());
        if record.start_known {
            set.put(key::CONNECTION_START_TIME, &crate::log_record::Rfc3339(record.opened).to_string());
        }
        set.put(key::CONNECTION_ROLE, record.role.as_str());
        set
    }

    /// The key of the series that takes what `max_series` leaves no room for.
    pub fn overflow() -> Self {
        Self(vec![(Cow::Borrowed(key::OVERFLOW), Value::Bool(true))])
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(held, _)| held == key).map(|(_, value)| value)
    }

    /// The text under `key`; empty if absent or not text.
    pub fn text(&self, key: &str) -> &str {
        match self.get(key) {
            Some(Value::Str(text)) => text,
            _ => "",
        }
    }

    fn put(&mut self, key: &'static str, text: &str) {
        self.0.push((Cow::Borrowed(key), Value::Str(text.into())));
    }

    fn put_int(&mut self, key: &'static str, number: i64) {
        self.0.push((Cow::Borrowed(key), Value::Int(number)));
    }

    fn put_shared(&mut self, key: &'static str, text: Option<&Arc<str>>) {
        let value = match text {
            Some(text) if !text.is_empty() => Arc::clone(text),
            _ => Arc::from(UNKNOWN),
        };
        self.0.push((Cow::Borrowed(key), Value::Str(value)));
    }

    fn put_workload(&mut self, [name, kind, namespace]: [&'static str; 3], workload: Option<&Workload>) {
        self.put_shared(name, workload.map(|w| &w.name));
        self.put_shared(kind, workload.map(|w| &w.kind));
        self.put_shared(namespace, workload.map(|w| &w.namespace));
    }

    fn put_service(&mut self, service: Option<&Service>) {
        self.put_shared(key::DESTINATION_SERVICE_NAME, service.map(|s| &s.name));
        self.put_shared(key::DESTINATION_SERVICE_NAMESPACE, service.map(|s| &s.namespace));
        if service.is_some_and(|s| s.ambiguous) {
            self.0.push((Cow::Borrowed(key::SERVICE_AMBIGUOUS), Value::Bool(true)));
        }
    }

    fn put_place(&mut self, [pod, node, container]: [&'static str; 3], workload: Option<&Workload>) {
        let Some(workload) = workload else { return };
        for (key, text) in [(pod, &workload.pod), (node, &workload.node), (container, &workload.container)] {
            if !text.is_empty() {
                self.0.push((Cow::Borrowed(key), Value::Str(Arc::clone(text))));
            }
        }
    }
}
