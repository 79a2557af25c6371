//! Attribute names, values and sets. The table of names is DESIGN's: what each level of a metric and a log record carries.

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

/// A value as the record has it: what needs no memory of its own.
#[derive(Clone, Copy)]
pub(crate) enum Held<'a> {
    /// One of a few.
    Word(&'static str),
    /// Shared with whoever named it.
    Name(&'a Arc<str>),
    /// Has to be written out.
    Shown(&'a dyn fmt::Display),
    Port(u16),
    True,
}

/// What series of level `workload` tell apart beyond the workload, on request. Level `connection` and logs have it all.
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
pub(crate) enum Key<'a> {
    /// One of [`key`].
    Fixed(&'static str),
    /// Of a label that the configuration selected.
    Label(&'a str),
}

/// A series' key: pairs in the order in which they are shown; keys are distinct.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(pub Vec<(Cow<'static, str>, Value)>);

// === impl Attributes ===

impl Attributes {
    /// The key of the series of `level` that the record belongs to.
    pub fn of_record(level: Level, record: &ConnectionRecord) -> Self {
        Self::detailed(level, record, Detail::default())
    }

    /// The same, where level `workload` is asked for more.
    pub fn detailed(level: Level, record: &ConnectionRecord, detail: Detail) -> Self {
        let mut set = Self(Vec::with_capacity(if level == Level::Connection { 22 } else { 10 }));
        for_each_of_level(level, record, detail, &mut |key, held| {
            set.0.push((key.into_cow(), held.into_value()));
        });
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
}

// === impl Value ===

impl Value {
    /// Borrows. Attribute numbers (ports) are never negative.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Str(text) => ValueRef::Str(text),
            Self::Int(number) => ValueRef::Int(u64::try_from(*number).unwrap_or_default()),
            Self::Bool(truth) => ValueRef::Bool(*truth),
        }
    }
}

// === impl Detail ===

impl Detail {
    const ALL: Self = Self { pod: true, node: true, container: true };
}

// === impl Key ===

impl<'a> Key<'a> {
    /// Its text.
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

// === impl Held ===

impl<'a> Held<'a> {
    /// Borrows.
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

/// Visits the attributes of the series of `level` that the record belongs to, in the order in which they are shown: the one place that
/// says which a level has.
pub(crate) fn for_each_of_level(
    level: Level,
    record: &ConnectionRecord,
    detail: Detail,
    visit: &mut dyn FnMut(Key<'_>, Held<'_>),
) {
    visit(Key::Fixed(key::REPORTER), Held::Word(record.role.reporter()));
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
        visit(Key::Label(&label.key.source), Held::Name(&label.value));
    }
    for label in destination.iter().flat_map(|workload| workload.labels.iter()) {
        visit(Key::Label(&label.key.destination), Held::Name(&label.value));
    }
    let detail = if level == Level::Workload { detail } else { Detail::ALL };
    place([key::SOURCE_POD, key::SOURCE_NODE, key::SOURCE_CONTAINER], source, detail, visit);
    place(
        [key::DESTINATION_POD, key::DESTINATION_NODE, key::DESTINATION_CONTAINER],
        destination,
        detail,
        visit,
    );
    if level == Level::Workload {
        return;
    }
    let (from, to) = (record.source(), record.destination());
    visit(Key::Fixed(key::SOURCE_ADDRESS), Held::Shown(&from.address));
    visit(Key::Fixed(key::SOURCE_PORT), Held::Port(from.port));
    visit(Key::Fixed(key::DESTINATION_ADDRESS), Held::Shown(&to.address));
    visit(Key::Fixed(key::DESTINATION_PORT), Held::Port(to.port));
    visit(Key::Fixed(key::CONNECTION_ID), Held::Shown(&record.id));
    if record.start_known {
        visit(Key::Fixed(key::CONNECTION_START_TIME), Held::Shown(&Rfc3339(record.opened)));
    }
    visit(Key::Fixed(key::CONNECTION_ROLE), Held::Word(record.role.as_str()));
}

fn workload(
    [name, kind, namespace]: [&'static str; 3],
    workload: Option<&Workload>,
    visit: &mut dyn FnMut(Key<'_>, Held<'_>),
) {
    visit(Key::Fixed(name), Held::name(workload.map(|w| &w.name)));
    visit(Key::Fixed(kind), Held::name(workload.map(|w| &w.kind)));
    visit(Key::Fixed(namespace), Held::name(workload.map(|w| &w.namespace)));
}

fn service(service: Option<&Service>, visit: &mut dyn FnMut(Key<'_>, Held<'_>)) {
    visit(Key::Fixed(key::DESTINATION_SERVICE_NAME), Held::name(service.map(|s| &s.name)));
    visit(Key::Fixed(key::DESTINATION_SERVICE_NAMESPACE), Held::name(service.map(|s| &s.namespace)));
    if service.is_some_and(|s| s.ambiguous) {
        visit(Key::Fixed(key::SERVICE_AMBIGUOUS), Held::True);
    }
}

fn place(
    keys: [&'static str; 3],
    workload: Option<&Workload>,
    detail: Detail,
    visit: &mut dyn FnMut(Key<'_>, Held<'_>),
) {
    let Some(workload) = workload else { return };
    let texts =
        [(detail.pod, &workload.pod), (detail.node, &workload.node), (detail.container, &workload.container)];
    for (key, (wanted, text)) in keys.into_iter().zip(texts) {
        if wanted && !text.is_empty() {
            visit(Key::Fixed(key), Held::Name(text));
        }
    }
}

#[cfg(test)]
mod tests;
