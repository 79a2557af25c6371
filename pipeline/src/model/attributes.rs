//! Attribute names, values and sets: what each level of a metric and a log record carries (docs/DATA.md).

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};

use crate::model::level::Level;
use crate::model::names::{Service, UNKNOWN, Workload};
use crate::model::record::ConnectionRecord;
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
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// Text, shared between series.
    Str(Arc<str>),
    /// Whole number: a port.
    Int(i64),
    /// True or false.
    Bool(bool),
}

/// A borrowed value, which a visitor receives.
#[derive(Clone, Copy)]
pub enum ValueRef<'a> {
    /// Text that exists already.
    Str(&'a str),
    /// Text that has to be formatted first (an address, a time, an id).
    Text(&'a dyn fmt::Display),
    /// Whole number.
    Int(u64),
    /// Number with a fraction.
    Float(f64),
    /// True or false.
    Bool(bool),
}

/// A value in the form that the record has it, without an allocation.
#[derive(Clone, Copy)]
pub(crate) enum RecordValue<'a> {
    /// A constant.
    Word(&'static str),
    /// A name, shared with the workload or service.
    Name(&'a Arc<str>),
    /// A value that has to be formatted.
    Shown(&'a dyn fmt::Display),
    Port(u16),
    True,
}

/// What series of level `workload` distinguish beside the workload. Level `connection` and logs always have all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// `{source,destination}.k8s.pod.name`.
    pub pod: bool,
    /// `{source,destination}.k8s.node.name`.
    pub node: bool,
    /// `{source,destination}.container.name`.
    pub container: bool,
}

/// An attribute's key.
#[derive(Clone, Copy)]
pub(crate) enum AttributeKey<'a> {
    /// One of [`key`].
    Fixed(&'static str),
    /// The attribute of a label that the configuration selects.
    Label(&'a str),
}

/// The key of a series: distinct attributes in the order of their output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(pub Vec<(Cow<'static, str>, Value)>);

// === impl Attributes ===

impl Attributes {
    /// Returns the attributes of the record's series of `level`, without further detail.
    pub fn of_record(level: Level, record: &ConnectionRecord) -> Self {
        Self::detailed(level, record, Detail::default())
    }

    /// Returns the attributes of the record's series of `level`. `detail` extends level `workload` only.
    pub fn detailed(level: Level, record: &ConnectionRecord, detail: Detail) -> Self {
        let mut set = Self(Vec::with_capacity(if level == Level::Connection { 22 } else { 10 }));
        for_each_of_level(level, record, detail, &mut |key, value| {
            set.0.push((key.into_cow(), value.into_value()));
        });
        set
    }

    /// Returns the attributes of the overflow series, for series beyond `max_series`.
    pub fn overflow() -> Self {
        Self(vec![(Cow::Borrowed(key::OVERFLOW), Value::Bool(true))])
    }

    /// Returns the value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Returns the text of `key`. Empty if there is none or if it is not text.
    pub fn text(&self, key: &str) -> &str {
        match self.get(key) {
            Some(Value::Str(text)) => text,
            _ => "",
        }
    }
}

// === impl Value ===

impl Value {
    /// Borrows the value. Numbers of attributes (ports) are never negative.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Str(text) => ValueRef::Str(text),
            Self::Int(number) => ValueRef::Int(u64::try_from(*number).unwrap_or_default()),
            Self::Bool(value) => ValueRef::Bool(*value),
        }
    }
}

// === impl Detail ===

impl Detail {
    const ALL: Self = Self { pod: true, node: true, container: true };
}

// === impl AttributeKey ===

impl<'a> AttributeKey<'a> {
    /// Returns the key's text.
    pub(crate) fn as_str(&self) -> &'a str {
        match *self {
            Self::Fixed(key) => key,
            Self::Label(key) => key,
        }
    }

    fn into_cow(self) -> Cow<'static, str> {
        match self {
            Self::Fixed(key) => Cow::Borrowed(key),
            Self::Label(key) => Cow::Owned(key.to_owned()),
        }
    }
}

// === impl RecordValue ===

impl<'a> RecordValue<'a> {
    /// Borrows the value.
    pub(crate) fn as_ref(&self) -> ValueRef<'a> {
        match *self {
            Self::Word(text) => ValueRef::Str(text),
            Self::Name(text) => ValueRef::Str(text),
            Self::Shown(text) => ValueRef::Text(text),
            Self::Port(port) => ValueRef::Int(port.into()),
            Self::True => ValueRef::Bool(true),
        }
    }

    fn into_value(self) -> Value {
        match self {
            Self::Word(UNKNOWN) => {
                static SHARED: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(UNKNOWN));
                Value::Str(Arc::clone(&SHARED))
            }
            Self::Word(text) => Value::Str(text.into()),
            Self::Name(text) => Value::Str(Arc::clone(text)),
            Self::Shown(text) => Value::Str(text.to_string().into()),
            Self::Port(port) => Value::Int(port.into()),
            Self::True => Value::Bool(true),
        }
    }

    fn name(text: Option<&'a Arc<str>>) -> Self {
        text.filter(|text| !text.is_empty()).map_or(Self::Word(UNKNOWN), Self::Name)
    }
}

/// Visits the attributes of the record's series of `level` in the order of their output. The only definition of what a level has.
pub(crate) fn for_each_of_level(
    level: Level,
    record: &ConnectionRecord,
    detail: Detail,
    visit: &mut dyn FnMut(AttributeKey<'_>, RecordValue<'_>),
) {
    visit(AttributeKey::Fixed(key::REPORTER), RecordValue::Word(record.role.reporter()));
    let source = record.source_workload().map(|handle| &**handle);
    let destination = record.destination_workload().map(|handle| &**handle);
    workload([key::SOURCE_WORKLOAD_NAME, key::SOURCE_WORKLOAD_KIND, key::SOURCE_NAMESPACE], source, visit);
    service(record.names.service.as_deref(), visit);
    if level == Level::Service {
        return;
    }
    workload(
        [key::DESTINATION_WORKLOAD_NAME, key::DESTINATION_WORKLOAD_KIND, key::DESTINATION_NAMESPACE],
        destination,
        visit,
    );
    for label in source.iter().flat_map(|workload| workload.labels.iter()) {
        visit(AttributeKey::Label(&label.key.source), RecordValue::Name(&label.value));
    }
    for label in destination.iter().flat_map(|workload| workload.labels.iter()) {
        visit(AttributeKey::Label(&label.key.destination), RecordValue::Name(&label.value));
    }
    let detail = if level == Level::Workload { detail } else { Detail::ALL };
    location([key::SOURCE_POD, key::SOURCE_NODE, key::SOURCE_CONTAINER], source, detail, visit);
    location(
        [key::DESTINATION_POD, key::DESTINATION_NODE, key::DESTINATION_CONTAINER],
        destination,
        detail,
        visit,
    );
    if level == Level::Workload {
        return;
    }
    let (from, to) = (record.source(), record.destination());
    visit(AttributeKey::Fixed(key::SOURCE_ADDRESS), RecordValue::Shown(&from.address));
    visit(AttributeKey::Fixed(key::SOURCE_PORT), RecordValue::Port(from.port));
    visit(AttributeKey::Fixed(key::DESTINATION_ADDRESS), RecordValue::Shown(&to.address));
    visit(AttributeKey::Fixed(key::DESTINATION_PORT), RecordValue::Port(to.port));
    visit(AttributeKey::Fixed(key::CONNECTION_ID), RecordValue::Shown(&record.id));
    if record.start_known {
        visit(AttributeKey::Fixed(key::CONNECTION_START_TIME), RecordValue::Shown(&Rfc3339(record.opened)));
    }
    visit(AttributeKey::Fixed(key::CONNECTION_ROLE), RecordValue::Word(record.role.as_str()));
}

fn workload(
    [name, kind, namespace]: [&'static str; 3],
    workload: Option<&Workload>,
    visit: &mut dyn FnMut(AttributeKey<'_>, RecordValue<'_>),
) {
    visit(AttributeKey::Fixed(name), RecordValue::name(workload.map(|w| &w.name)));
    visit(AttributeKey::Fixed(kind), RecordValue::name(workload.map(|w| &w.kind)));
    visit(AttributeKey::Fixed(namespace), RecordValue::name(workload.map(|w| &w.namespace)));
}

fn service(service: Option<&Service>, visit: &mut dyn FnMut(AttributeKey<'_>, RecordValue<'_>)) {
    visit(AttributeKey::Fixed(key::DESTINATION_SERVICE_NAME), RecordValue::name(service.map(|s| &s.name)));
    visit(
        AttributeKey::Fixed(key::DESTINATION_SERVICE_NAMESPACE),
        RecordValue::name(service.map(|s| &s.namespace)),
    );
    if service.is_some_and(|s| s.ambiguous) {
        visit(AttributeKey::Fixed(key::SERVICE_AMBIGUOUS), RecordValue::True);
    }
}

fn location(
    keys: [&'static str; 3],
    workload: Option<&Workload>,
    detail: Detail,
    visit: &mut dyn FnMut(AttributeKey<'_>, RecordValue<'_>),
) {
    let Some(workload) = workload else { return };
    let texts =
        [(detail.pod, &workload.pod), (detail.node, &workload.node), (detail.container, &workload.container)];
    for (key, (wanted, text)) in keys.into_iter().zip(texts) {
        if wanted && !text.is_empty() {
            visit(AttributeKey::Fixed(key), RecordValue::Name(text));
        }
    }
}

#[cfg(test)]
mod tests;
