//! [`Flows`]: what a window reports of each flow, for tables that people read.

use std::collections::HashMap;
use std::sync::Arc;

use longwave_pipeline::component::visible::Visible;
use longwave_pipeline::model::{
    EndpointKey, FailReason, FlowKey, Level, Limit, ObservedLimits, Reporter, Series, UNKNOWN, Window,
    WorkloadKey, is_lossy, share_of_data,
};

use crate::names::{self, service_beside};

/// Which end of the flow is the reporting socket, on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Client,
    Server,
    /// Both ends are on this host, and the numbers are those that both report.
    Both,
    /// Not one flow: a total, or the overflow series.
    Mixed,
}

/// Kinds of workloads that exist on this host only, so that a flow between two of them has both ends here.
const LOCAL_KINDS: [&str; 5] = ["Process", "Container", "Cgroup", "SystemdUnit", "VirtualMachine"];

/// One flow in one window, as one or both of its ends report it.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) source: String,
    pub(crate) destination: String,
    /// The service to which the client connected. Empty if it is unknown or equal to the destination.
    pub(crate) service: String,
    pub(crate) side: Side,
    /// Payload bytes from source to destination.
    pub(crate) towards: u64,
    /// Payload bytes from destination to source.
    pub(crate) back: u64,
    /// Segments sent and received, with or without data.
    pub(crate) segments: u64,
    /// Segments with data that the reporting ends sent.
    pub(crate) data_segments: u64,
    pub(crate) retransmits: u64,
    pub(crate) lost: u64,
    limits: ObservedLimits,
    /// Sum and number of the round trips, seconds.
    pub(crate) round_trips: (f64, u64),
    pub(crate) min_round_trip: Option<f64>,
    pub(crate) active: u64,
    pub(crate) opened: u64,
    pub(crate) closed: u64,
    pub(crate) failed: u64,
    /// Reason of most failures of the flow.
    pub(crate) failure: Option<FailReason>,
    /// The window's length in seconds, for rates.
    pub(crate) seconds: f64,
    /// Whether this is the overflow series.
    pub(crate) is_overflow: bool,
    /// Whether both workloads exist on this host only.
    pub(crate) is_local: bool,
}

/// The flows of one level of a window.
pub(crate) struct Flows {
    /// `None` if the window has no series.
    pub(crate) level: Option<Level>,
    /// In the order of the window.
    pub(crate) all: Vec<Flow>,
}

// === impl Flows ===

impl Flows {
    /// Returns the flows between workloads; of a window without that level those to services, otherwise connections. If `both_ends`, a flow
    /// between two ends of this host is there once for each of them.
    pub(crate) fn of_window(window: &Window, both_ends: bool) -> Self {
        let has = |level| window.series.iter().any(|series| series.level == level);
        let level =
            [Level::Workload, Level::Service, Level::Connection].into_iter().find(|level| has(*level));
        let all = level.map(|level| Flow::at_level(window, level, both_ends)).unwrap_or_default();
        Self { level, all }
    }

    pub(crate) fn total(&self) -> Flow {
        Flow::sum(&self.all, "TOTAL".to_owned())
    }
}

/// Joins the two reports of each flow whose ends are both on this host.
fn join_ends(flows: impl Iterator<Item = Flow>) -> Vec<Flow> {
    let mut joined: Vec<Flow> = Vec::new();
    let mut by_ends: HashMap<_, usize> = HashMap::new();
    for flow in flows {
        if flow.is_local {
            let first = *by_ends.entry(flow.ends().map(str::to_owned)).or_insert(joined.len());
            if let Some(first) = joined.get_mut(first)
                && first.side != flow.side
            {
                first.join(&flow);
                continue;
            }
        }
        joined.push(flow);
    }
    joined
}

// === impl Flow ===

impl Flow {
    /// Returns the flows of a level that have any activity.
    pub(crate) fn at_level(window: &Window, level: Level, both_ends: bool) -> Vec<Self> {
        let seconds = window.end.since(window.start).as_secs_f64();
        let at_level = window.series.iter().filter(|series| series.level == level);
        let flows = at_level.map(|series| Self::of_series(series, seconds)).filter(Self::has_activity);
        if both_ends { flows.collect() } else { join_ends(flows) }
    }

    /// Returns the sums of `flows`.
    pub(crate) fn sum<'a>(flows: impl IntoIterator<Item = &'a Flow>, source: String) -> Self {
        let mut total = Self {
            source,
            destination: String::new(),
            service: String::new(),
            side: Side::Mixed,
            towards: 0,
            back: 0,
            segments: 0,
            data_segments: 0,
            retransmits: 0,
            lost: 0,
            limits: ObservedLimits::default(),
            round_trips: (0.0, 0),
            min_round_trip: None,
            active: 0,
            opened: 0,
            closed: 0,
            failed: 0,
            failure: None,
            seconds: 0.0,
            is_overflow: false,
            is_local: false,
        };
        for flow in flows {
            total.seconds = flow.seconds;
            total.towards = total.towards.saturating_add(flow.towards);
            total.back = total.back.saturating_add(flow.back);
            total.segments = total.segments.saturating_add(flow.segments);
            total.data_segments = total.data_segments.saturating_add(flow.data_segments);
            total.retransmits = total.retransmits.saturating_add(flow.retransmits);
            total.lost = total.lost.saturating_add(flow.lost);
            total.limits.add(&flow.limits);
            total.round_trips.0 += flow.round_trips.0;
            total.round_trips.1 += flow.round_trips.1;
            total.min_round_trip = match (total.min_round_trip, flow.min_round_trip) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
            total.active += flow.active;
            total.opened += flow.opened;
            total.closed += flow.closed;
            total.failed += flow.failed;
        }
        total
    }

    /// Returns the source, the destination and the service. Two flows with equal ones differ in their side.
    pub(crate) fn ends(&self) -> [&str; 3] {
        [&self.source, &self.destination, &self.service]
    }

    /// Adds what the other end of the flow reports. Both report the same bytes and connections, at moments that differ a little, so the larger
    /// number is the later one. Each end has segments, retransmits and losses of its own direction. The slower round trip is shown, and the limit of
    /// the end that was busy for longer: the other one mostly receives.
    fn join(&mut self, other: &Self) {
        self.side = Side::Both;
        let larger = |mine: &mut u64, theirs: u64| *mine = (*mine).max(theirs);
        larger(&mut self.towards, other.towards);
        larger(&mut self.back, other.back);
        larger(&mut self.segments, other.segments);
        larger(&mut self.active, other.active);
        larger(&mut self.opened, other.opened);
        larger(&mut self.closed, other.closed);
        larger(&mut self.failed, other.failed);
        self.failure = self.failure.or(other.failure);
        self.data_segments = self.data_segments.saturating_add(other.data_segments);
        self.retransmits = self.retransmits.saturating_add(other.retransmits);
        self.lost = self.lost.saturating_add(other.lost);
        self.limits = self.limits.of_sender(other.limits);
        if other.round_trip() > self.round_trip() {
            self.round_trips = other.round_trips;
        }
        self.min_round_trip = match (self.min_round_trip, other.min_round_trip) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    /// Returns whether connections failed, or the flow is lossy.
    pub(crate) fn is_troubled(&self) -> bool {
        self.failed > 0 || self.is_lossy()
    }

    /// Returns whether at least one percent of the segments with data was sent again.
    pub(crate) fn is_lossy(&self) -> bool {
        is_lossy(self.retransmits, self.data_segments)
    }

    /// Returns the bytes of both directions.
    pub(crate) fn bytes(&self) -> u64 {
        self.towards.saturating_add(self.back)
    }

    /// Returns whether the window has neither bytes nor events of the flow.
    pub(crate) fn is_idle(&self) -> bool {
        self.towards == 0 && self.back == 0 && self.opened == 0 && self.closed == 0 && self.failed == 0
    }

    /// Returns what limited the connections for most of the time.
    pub(crate) fn limit(&self) -> Option<Limit> {
        self.limits.dominant()
    }

    /// Returns the share of the segments with data that were sent again. `None` if no data was sent.
    pub(crate) fn retransmit_ratio(&self) -> Option<f64> {
        share_of_data(self.retransmits, self.data_segments)
    }

    /// Returns the mean round trip, in seconds.
    pub(crate) fn round_trip(&self) -> Option<f64> {
        (self.round_trips.1 > 0).then(|| self.round_trips.0 / self.round_trips.1 as f64)
    }

    /// Returns what one series of a window of this length reports.
    pub(crate) fn of_series(series: &Series, seconds: f64) -> Self {
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
            Side::Client | Side::Both | Side::Mixed => (totals.sent_bytes, totals.received_bytes),
        };
        let (source, destination, service) = match flow {
            Some(flow) => names_of(flow),
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
            data_segments: totals.data_segments,
            retransmits: totals.retransmits,
            lost: totals.lost,
            limits: measures.observed_limits(),
            round_trips: (measures.rtt.sum(), measures.rtt.count()),
            min_round_trip: measures.min_rtt,
            active: measures.active,
            opened: measures.opened,
            closed: measures.closed_total(),
            failed: measures.failed_total(),
            failure: measures.failed.iter().max_by_key(|(_, count)| *count).map(|(reason, _)| *reason),
            seconds,
            is_overflow: flow.is_none(),
            is_local: flow.is_some_and(has_both_ends_here),
        }
    }

    /// Returns whether there is anything to show. A series in its last window usually has nothing.
    fn has_activity(&self) -> bool {
        !self.is_idle() || self.active > 0 || self.segments > 0
    }
}

/// Returns whether both workloads exist on this host only. False for a series into which others are folded: those of the other end can be
/// other ones.
fn has_both_ends_here(flow: &FlowKey) -> bool {
    let is_here =
        |workload: &WorkloadKey| workload.kind.as_deref().is_some_and(|kind| LOCAL_KINDS.contains(&kind));
    flow.folded.is_none() && is_here(&flow.source) && is_here(&flow.destination)
}

/// Returns the source, the destination, and the service if it is not the destination.
fn names_of(flow: &FlowKey) -> (String, String, String) {
    let FlowKey { source, service, destination, connection, folded, .. } = flow;
    let source = qualified(&source.name, &source.namespace);
    let service = qualified(&service.name, &service.namespace);
    let destination = qualified(&destination.name, &destination.namespace);
    let or_unknown = |name: Option<String>| name.unwrap_or_else(|| UNKNOWN.to_owned());
    if let Some(rung) = folded {
        let destination = destination.or(service);
        return (or_unknown(source), or_unknown(destination), format!("(folded: {})", rung.as_str()));
    }
    if let Some(connection) = connection {
        let with_address = |name: Option<String>, address: EndpointKey| match name {
            Some(name) if address.is_empty() => name,
            Some(name) => format!("{name} ({address})"),
            None if address.is_empty() => UNKNOWN.to_owned(),
            None => address.to_string(),
        };
        let source = with_address(source, connection.source);
        let destination = with_address(destination, connection.destination);
        return (source, destination, service.unwrap_or_default());
    }
    match destination {
        None => (or_unknown(source), or_unknown(service), String::new()),
        Some(destination) => {
            let service = service_beside(service, &destination);
            (or_unknown(source), destination, service)
        }
    }
}

/// Returns the qualified name. If the series has no name, but a namespace, returns `*.namespace`.
fn qualified(name: &Option<Arc<str>>, namespace: &Option<Arc<str>>) -> Option<String> {
    let namespace = namespace.as_deref().unwrap_or_default();
    match name {
        Some(name) => names::qualified(name, namespace),
        None => names::is_known(namespace).then(|| format!("*.{}", Visible(namespace))),
    }
}

// === impl Side ===

impl Side {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Both => "both",
            Self::Mixed => "",
        }
    }
}
