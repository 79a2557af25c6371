//! The fields of records that conditions name.

use longwave_pipeline::model::{
    CloseReason, ConnectionRecord, End, Event, Limit, ObservedLimits, Role, Totals, Workload,
};

/// A field with a text. The first group has a value for each end, the second one for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextField {
    Workload,
    Namespace,
    Kind,
    Pod,
    Node,
    Container,
    Service,
    Process,
    Event,
    Role,
    State,
    CloseReason,
    FailReason,
    /// What limited the connection for most of the time since its previous record.
    Limit,
}

/// A number that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// Smoothed round trip, nanoseconds.
    Rtt,
    /// Minimum round trip, nanoseconds.
    MinRtt,
    /// Time since the open, nanoseconds.
    Age,
    /// Payload sent and received since the open.
    Bytes,
    SentBytes,
    ReceivedBytes,
    /// Segments sent again since the open.
    Retransmits,
    Lost,
}

/// What a condition names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Text(TextField),
    Measure(Measure),
    Port,
    Address,
}

/// All fields by their names in expressions.
pub(super) const FIELDS: [(&str, Field); 24] = [
    ("workload", Field::Text(TextField::Workload)),
    ("namespace", Field::Text(TextField::Namespace)),
    ("kind", Field::Text(TextField::Kind)),
    ("pod", Field::Text(TextField::Pod)),
    ("node", Field::Text(TextField::Node)),
    ("container", Field::Text(TextField::Container)),
    ("service", Field::Text(TextField::Service)),
    ("process", Field::Text(TextField::Process)),
    ("event", Field::Text(TextField::Event)),
    ("role", Field::Text(TextField::Role)),
    ("state", Field::Text(TextField::State)),
    ("close_reason", Field::Text(TextField::CloseReason)),
    ("fail_reason", Field::Text(TextField::FailReason)),
    ("limit", Field::Text(TextField::Limit)),
    ("port", Field::Port),
    ("address", Field::Address),
    ("rtt", Field::Measure(Measure::Rtt)),
    ("min_rtt", Field::Measure(Measure::MinRtt)),
    ("age", Field::Measure(Measure::Age)),
    ("bytes", Field::Measure(Measure::Bytes)),
    ("sent_bytes", Field::Measure(Measure::SentBytes)),
    ("received_bytes", Field::Measure(Measure::ReceivedBytes)),
    ("retransmits", Field::Measure(Measure::Retransmits)),
    ("lost", Field::Measure(Measure::Lost)),
];

// === impl TextField ===

impl TextField {
    /// Returns whether each end has a value.
    pub(super) fn is_of_an_end(self) -> bool {
        matches!(
            self,
            Self::Workload | Self::Namespace | Self::Kind | Self::Pod | Self::Node | Self::Container
        )
    }

    /// Returns the field of a workload. Empty if it is unknown, or not a field of workloads.
    pub(super) fn of_workload(self, workload: Option<&Workload>) -> &str {
        let Some(workload) = workload else { return "" };
        match self {
            Self::Workload => &workload.name,
            Self::Namespace => &workload.namespace,
            Self::Kind => &workload.kind,
            Self::Pod => &workload.pod,
            Self::Node => &workload.node,
            Self::Container => &workload.container,
            _ => "",
        }
    }

    /// Calls `test` with the field of the connection. The text is empty if it is unknown, or a field of the ends.
    pub(super) fn of_connection(self, record: &ConnectionRecord, test: impl FnOnce(&str) -> bool) -> bool {
        match (self, record.end) {
            (Self::Service, _) => test(record.names.service.as_deref().map_or("", |service| &service.name)),
            (Self::Process, _) => test(&record.owner.executable().unwrap_or_default()),
            (Self::Event, _) => test(record.event.as_str()),
            (Self::Role, _) => test(record.role.as_str()),
            (Self::State, _) => test(record.state.as_str()),
            (Self::CloseReason, Some(End::Closed(reason))) => test(reason.as_str()),
            (Self::FailReason, Some(End::Failed(reason))) => test(&reason.to_string()),
            (Self::Limit, _) => test(ObservedLimits::of_deltas(record).dominant().map_or("", Limit::as_str)),
            _ => test(""),
        }
    }

    /// Returns all values of a field that has only a few.
    pub(super) fn values(self) -> Vec<&'static str> {
        let events = [Event::Open, Event::Update, Event::Close, Event::Fail, Event::Vanished];
        match self {
            Self::Event => events.map(Event::as_str).into(),
            Self::Role => [Role::Client, Role::Server, Role::Unknown].map(Role::as_str).into(),
            Self::CloseReason => CloseReason::ALL.map(CloseReason::as_str).into(),
            Self::Limit => Limit::ALL.map(Limit::as_str).into(),
            _ => Vec::new(),
        }
    }
}

// === impl Measure ===

impl Measure {
    /// Returns the value, in bytes, segments or nanoseconds. `None` if it is unknown.
    pub(super) fn of(self, record: &ConnectionRecord) -> Option<u64> {
        let Totals { sent_bytes, received_bytes, retransmits, lost, .. } = record.totals;
        match self {
            Self::Rtt => record.round_trip.smoothed.map(u64::from),
            Self::MinRtt => record.round_trip.minimum.map(u64::from),
            Self::Age => record.start_known.then_some(record.age),
            Self::Bytes => Some(sent_bytes.saturating_add(received_bytes)),
            Self::SentBytes => Some(sent_bytes),
            Self::ReceivedBytes => Some(received_bytes),
            Self::Retransmits => Some(retransmits),
            Self::Lost => Some(lost),
        }
    }

    pub(super) fn is_time(self) -> bool {
        matches!(self, Self::Rtt | Self::MinRtt | Self::Age)
    }

    pub(super) fn is_segments(self) -> bool {
        matches!(self, Self::Retransmits | Self::Lost)
    }
}
