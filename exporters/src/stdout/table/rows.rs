//! The rows of a table.

use std::cmp::Reverse;

use longwave_pipeline::model::{
    Endpoint, FlowKey, Level, Limit, Limits, OptionalCount, Reporter, Series, UNKNOWN, Window,
};

use longwave_pipeline::component::visible::Visible;

/// Which end of the flow is the reporting socket, on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Client,
    Server,
    /// Both: a total, or the overflow series.
    Mixed,
}

/// One flow in one window, as one of its ends reports it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) source: String,
    pub(super) destination: String,
    /// The service to which the client connected. Empty if it is unknown or equal to the destination.
    pub(super) service: String,
    pub(super) side: Side,
    /// Payload bytes from source to destination.
    pub(super) towards: u64,
    /// Payload bytes from destination to source.
    pub(super) back: u64,
    pub(super) segments: u64,
    pub(super) retransmits: u64,
    pub(super) lost: u64,
    /// Times by what limited the connections, and the time for which they were observed.
    limits: (Limits, OptionalCount),
    /// Sum and number of the round trips, seconds.
    pub(super) round_trips: (f64, u64),
    pub(super) min_round_trip: Option<f64>,
    pub(super) active: u64,
    pub(super) opened: u64,
    pub(super) closed: u64,
    pub(super) failed: u64,
    /// The window's length in seconds, for rates.
    pub(super) seconds: f64,
    /// The row is the overflow series.
    is_overflow: bool,
}

pub(super) struct Rows {
    /// The level that is shown: workload if there is one, otherwise service, otherwise connection.
    pub(super) level: Option<Level>,
    /// Sorted by bytes, then by connections, descending; the overflow series is last.
    pub(super) shown: Vec<Row>,
}

// === impl Rows ===

impl Rows {
    pub(super) fn of_window(window: &Window) -> Self {
        let has = |level| window.series.iter().any(|series| series.level == level);
        let level =
            [Level::Workload, Level::Service, Level::Connection].into_iter().find(|level| has(*level));
        let seconds = window.end.since(window.start).as_secs_f64();
        let at_level = window.series.iter().filter(|series| Some(series.level) == level);
        let mut shown: Vec<_> =
            at_level.map(|series| Row::of_series(series, seconds)).filter(Row::has_activity).collect();
        shown.sort_by(|one, other| one.order().cmp(&other.order()));
        Self { level, shown }
    }

    pub(super) fn total(&self) -> Row {
        Row::sum(&self.shown, "ALL SOCKETS".to_owned())
    }
}

// === impl Row ===

impl Row {
    /// Returns the sums of `rows`.
    pub(super) fn sum(rows: &[Row], source: String) -> Self {
        let mut total = Self {
            source,
            destination: String::new(),
            service: String::new(),
            side: Side::Mixed,
            towards: 0,
            back: 0,
            segments: 0,
            retransmits: 0,
            lost: 0,
            limits: (Limits::default(), OptionalCount::ABSENT),
            round_trips: (0.0, 0),
            min_round_trip: None,
            active: 0,
            opened: 0,
            closed: 0,
            failed: 0,
            seconds: rows.first().map_or(0.0, |row| row.seconds),
            is_overflow: false,
        };
        for row in rows {
            total.towards = total.towards.saturating_add(row.towards);
            total.back = total.back.saturating_add(row.back);
            total.segments = total.segments.saturating_add(row.segments);
            total.retransmits = total.retransmits.saturating_add(row.retransmits);
            total.lost = total.lost.saturating_add(row.lost);
            total.limits.0.add(&row.limits.0);
            total.limits.1.add(row.limits.1);
            total.round_trips.0 += row.round_trips.0;
            total.round_trips.1 += row.round_trips.1;
            total.min_round_trip = match (total.min_round_trip, row.min_round_trip) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
            total.active += row.active;
            total.opened += row.opened;
            total.closed += row.closed;
            total.failed += row.failed;
        }
        total
    }

    /// Returns whether the window has neither bytes nor events of the flow.
    pub(super) fn is_idle(&self) -> bool {
        self.towards == 0 && self.back == 0 && self.opened == 0 && self.closed == 0 && self.failed == 0
    }

    /// Returns what limited the connections for most of the time.
    pub(super) fn limit(&self) -> Option<Limit> {
        self.limits.0.dominant(self.limits.1)
    }

    /// Returns the mean round trip, in seconds.
    pub(super) fn round_trip(&self) -> Option<f64> {
        (self.round_trips.1 > 0).then(|| self.round_trips.0 / self.round_trips.1 as f64)
    }

    fn of_series(series: &Series, seconds: f64) -> Self {
        let measures = &series.measures;
        let totals = &measures.totals;
        let flow = series.key.flow();
        let side = match flow.map(|flow| flow.reporter) {
            Some(Reporter::Destination) => Side::Server,
            Some(Reporter::Source) => Side::Client,
            None => Side::Mixed,
        };
        let (towards, back) = match side {
            Side::Server => (totals.received_bytes, totals.sent_bytes),
            Side::Client | Side::Mixed => (totals.sent_bytes, totals.received_bytes),
        };
        let (source, destination, service) = match flow {
            Some(flow) => ends(flow),
            None => ("(others)".to_owned(), "(over max_series)".to_owned(), String::new()),
        };
        Self {
            source,
            destination,
            service,
            side,
            towards,
            back,
            segments: totals.sent_segments.saturating_add(totals.received_segments),
            retransmits: totals.retransmits,
            lost: totals.lost,
            limits: (measures.limits, measures.connected),
            round_trips: (measures.rtt.sum(), measures.rtt.count()),
            min_round_trip: measures.min_rtt,
            active: measures.active,
            opened: measures.opened,
            closed: measures.closed_total(),
            failed: measures.failed_total(),
            seconds,
            is_overflow: flow.is_none(),
        }
    }

    /// Returns whether there is anything to show. A series in its last window usually has nothing.
    fn has_activity(&self) -> bool {
        !self.is_idle() || self.active > 0 || self.segments > 0
    }

    fn order(&self) -> impl Ord {
        let bytes = self.towards.saturating_add(self.back);
        let events = self.opened + self.closed + self.failed;
        let names = (self.source.clone(), self.destination.clone(), self.service.clone());
        (self.is_overflow, Reverse(bytes), Reverse(self.active), Reverse(events), names, self.side)
    }
}

/// Returns the source, the destination, and the service if it is not the destination.
fn ends(flow: &FlowKey) -> (String, String, String) {
    let FlowKey { source, service, destination, connection, .. } = flow;
    let source = qualified(&source.name, &source.namespace);
    let service = qualified(&service.name, &service.namespace);
    let destination =
        destination.as_ref().and_then(|workload| qualified(&workload.name, &workload.namespace));
    if let Some(connection) = connection {
        let with_address = |name: Option<String>, address: Endpoint| match name {
            Some(name) => format!("{name} ({address})"),
            None => address.to_string(),
        };
        let source = with_address(source, connection.source);
        let destination = with_address(destination, connection.destination);
        return (source, destination, service.unwrap_or_default());
    }
    let or_unknown = |name: Option<String>| name.unwrap_or_else(|| UNKNOWN.to_owned());
    match (destination, service) {
        (None, service) => (or_unknown(source), or_unknown(service), String::new()),
        (Some(destination), Some(service)) if service == destination => {
            (or_unknown(source), destination, String::new())
        }
        (Some(destination), service) => (or_unknown(source), destination, service.unwrap_or_default()),
    }
}

/// Returns `name.namespace`, as in a cluster's DNS; `None` if the name is unknown.
fn qualified(name: &str, namespace: &str) -> Option<String> {
    let known = |text: &str| !text.is_empty() && text != UNKNOWN;
    known(name).then(|| match Visible(name) {
        name if known(namespace) => format!("{name}.{}", Visible(namespace)),
        name => name.to_string(),
    })
}

// === impl Side ===

impl Side {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Mixed => "",
        }
    }
}
