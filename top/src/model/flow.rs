//! [`Flow`]: one connection, with one or both of its sockets on this host.

use std::num::NonZeroU64;
use std::time::Duration;

use longwave_pipeline::model::{
    ConnectionRecord, Endpoint, Event, Handle, Level, Role, Service, UnixNanos, Workload,
};

use super::measures::{Measures, Split};
use super::names::Ends;
use super::row::{Age, LastEnd, Row, RowId};

/// One of the two ends of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The client, or the local end of a connection whose role is unknown.
    Client,
    /// The server.
    Server,
}

/// A connection. If both of its sockets are on this host, both report it.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Its line in the table.
    pub row: Row,
    pub(super) client: Option<FlowEnd>,
    pub(super) server: Option<FlowEnd>,
    /// Rows of services and of workloads that contain it.
    pub(super) rows: [Option<RowId>; 2],
    pub(super) first_seen: UnixNanos,
}

/// What one socket of a flow reports.
#[derive(Clone, Debug)]
pub struct FlowEnd {
    /// The last record.
    pub record: ConnectionRecord,
    /// The pacing rate in bytes per second, of the last record that has it.
    pub pacing_rate: Option<NonZeroU64>,
    /// Counts since the last interval ended.
    pub(super) pending: Measures,
}

/// What identifies a flow that both sockets report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlowKey {
    pub(super) source: Endpoint,
    pub(super) destination: Endpoint,
    /// The network namespace, if an address is a loopback one; otherwise 0, because the ends may be in different ones.
    netns: u32,
}

// === impl Side ===

impl Side {
    /// Returns the end that a record is from.
    pub(super) fn of_record(record: &ConnectionRecord) -> Self {
        if record.role.local_is_source() { Self::Client } else { Self::Server }
    }

    /// Returns the opposite end.
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// Returns `client` or `server`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

// === impl FlowKey ===

impl FlowKey {
    /// Returns `None` if a port is not known, as in the record of a connection that failed early.
    pub(super) fn of_record(record: &ConnectionRecord, side: Side) -> Option<Self> {
        let (source, destination) = match side {
            Side::Client => (record.local, record.peer),
            Side::Server => (record.peer, record.local),
        };
        let is_loopback = source.address.is_loopback() || destination.address.is_loopback();
        let netns = if is_loopback { record.id.netns } else { 0 };
        (source.port > 0 && destination.port > 0).then_some(Self { source, destination, netns })
    }
}

// === impl Flow ===

impl Flow {
    /// Returns what the socket of `side` reports, if it is on this host.
    pub fn end(&self, side: Side) -> Option<&FlowEnd> {
        match side {
            Side::Client => self.client.as_ref(),
            Side::Server => self.server.as_ref(),
        }
    }

    pub(super) fn end_mut(&mut self, side: Side) -> &mut Option<FlowEnd> {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Returns the ends that report.
    pub fn ends(&self) -> impl Iterator<Item = (Side, &FlowEnd)> {
        let of = |side: Side, end: Option<_>| end.map(|end| (side, end));
        [of(Side::Client, self.client.as_ref()), of(Side::Server, self.server.as_ref())].into_iter().flatten()
    }

    /// Returns whether a socket of it is open.
    pub fn is_open(&self) -> bool {
        self.ends().any(|(_, end)| end.record.end.is_none())
    }

    /// Returns whether the last record of any end meets the condition.
    pub(super) fn any_record(&self, test: impl Fn(&ConnectionRecord) -> bool) -> bool {
        self.ends().any(|(_, end)| test(&end.record))
    }

    /// Moves an end whose role is unknown to the other side, if that is free. Returns whether it did.
    pub(super) fn turn(&mut self) -> bool {
        let is_unsure = self.ends().all(|(_, end)| end.record.role == Role::Unknown);
        let is_single = self.client.is_none() || self.server.is_none();
        if is_unsure && is_single {
            std::mem::swap(&mut self.client, &mut self.server);
            for end in [&mut self.client, &mut self.server].into_iter().flatten() {
                std::mem::swap(&mut end.pending.towards, &mut end.pending.back);
            }
        }
        is_unsure && is_single
    }

    /// Returns the names of both ends. The end that is on this host is resolved best by its own record.
    pub(super) fn names(&self, level: Level) -> super::names::RowNames {
        let workload = |side: Side| -> Option<&Handle<Workload>> {
            let own = self.end(side).and_then(|end| end.record.names.local.as_ref());
            own.or_else(|| self.end(side.other()).and_then(|end| end.record.names.peer.as_ref()))
        };
        let service: Option<&Handle<Service>> =
            self.ends().find_map(|(_, end)| end.record.names.service.as_ref());
        Ends {
            source: workload(Side::Client).map(|handle| &**handle),
            destination: workload(Side::Server).map(|handle| &**handle),
            service: service.map(|handle| &**handle),
            source_address: self.address(Side::Client),
            destination_address: self.address(Side::Server),
        }
        .names(level)
    }

    /// Returns the address of an end.
    pub fn address(&self, side: Side) -> Endpoint {
        let own = self.end(side).map(|end| end.record.local);
        own.or_else(|| self.end(side.other()).map(|end| end.record.peer)).unwrap_or_default()
    }

    /// Returns what the ends have reported since the last interval ended.
    pub(super) fn pending(&self) -> Split {
        let of = |end: &FlowEnd| {
            let is_open = end.record.end.is_none() && end.record.event != Event::Fail;
            Measures {
                open: u64::from(is_open),
                rtt: end.record.round_trip.smoothed.filter(|_| is_open),
                min_rtt: end.record.round_trip.minimum,
                ..end.pending
            }
        };
        Split::of_ends(self.client.as_ref().map(of), self.server.as_ref().map(of))
    }

    /// Ends the interval, and returns its measures.
    pub(super) fn roll(&mut self, tick: UnixNanos, interval: Duration) -> Split {
        let split = self.pending();
        for end in [&mut self.client, &mut self.server].into_iter().flatten() {
            end.pending = Measures::default();
        }
        self.row.age = self.ends().map(|(_, end)| self.age(&end.record, tick)).max();
        self.row.roll(split, tick, interval);
        split
    }

    fn age(&self, record: &ConnectionRecord, tick: UnixNanos) -> Age {
        if record.start_known {
            Age { since: Duration::from_nanos(record.age), is_minimum: false }
        } else {
            Age { since: tick.since(self.first_seen), is_minimum: true }
        }
    }

    /// Stores how a socket ended, if the record says so.
    pub(super) fn note_end(&mut self, record: &ConnectionRecord, side: Side) {
        if let Some(end) = record.end {
            let server = match side {
                Side::Client => record.peer,
                Side::Server => record.local,
            };
            self.row.last_end = Some(LastEnd { end, server, at: record.observed });
        }
    }
}
