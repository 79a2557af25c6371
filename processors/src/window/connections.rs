//! The open set: what is remembered of each connection, and what one record does to the sums.

use std::num::NonZeroU64;

use longwave_pipeline::model::{
    CloseReason, ConnectionId, ConnectionRecord, End, Event, FailReason, Level, Measures, Names, Role,
    TcpState, UnixNanos, Window, seconds,
};

use super::config::WindowConfig;
use super::leaves::Leaves;
use super::own_series::{NO_SERIES, OwnSeries};
use super::telemetry::Tally;
use crate::known::{Identified, Known, STRIDE};

/// A connection that was silent for this long …
const SILENT_NANOS: u64 = 600_000_000_000;
/// … and for at least this many windows is given up: its end was lost on the way (and counted there).
const SILENT_WINDOWS: u64 = 120;
/// Looking for silent connections visits them all: once in so many windows.
const SWEEP_EVERY: u32 = 16;

/// The open set and all sums of the open window.
pub(super) struct Connections {
    known: Known<Connection>,
    sums: Sums,
    /// Windows of silence after which a connection is given up.
    silent_windows: u32,
}

/// One connection in 64 bytes, an empty slot included: keep it so.
struct Connection {
    id: ConnectionId,
    names: Names,
    leaf: u32,
    /// Its own series, or [`NO_SERIES`].
    own: u32,
    /// The window of the last record.
    seen: u32,
    role: Role,
    established: bool,
    /// A round trip was sampled in window `seen`.
    sampled: bool,
}

const _: () = assert!(size_of::<Option<Connection>>() <= 64);

/// What connections add to.
struct Sums {
    leaves: Leaves,
    own: Option<OwnSeries>,
    tally: Tally,
    /// Number of the open window; wraps after centuries.
    window: u32,
    /// Start of the open window.
    start: UnixNanos,
    /// Start of the first window: connections from before were opened in somebody else's time.
    life: UnixNanos,
}

/// What one record tells beside its deltas.
#[derive(Default)]
pub(super) struct Step {
    /// The connection is counted as opened now.
    pub opened: bool,
    /// From SYN to ESTABLISHED in nanoseconds; only with `opened`.
    pub connect: Option<NonZeroU64>,
    /// The window's round-trip sample of this connection, nanoseconds.
    pub rtt: Option<NonZeroU64>,
    /// It ended.
    pub end: Option<End>,
    /// From open to end in seconds; only with `end`.
    pub duration: Option<f64>,
}

// === impl Connections ===

impl Connections {
    /// Nothing seen; the first window starts at `start`.
    pub fn new(config: &WindowConfig, start: UnixNanos) -> Self {
        let own = config.has(Level::Connection).then(|| OwnSeries::new(config));
        let leaves = Leaves::new(
            config.has(Level::Service),
            config.has(Level::Workload),
            config.detail(),
            config.max_series,
        );
        let interval = u64::try_from(config.interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        let silent = SILENT_WINDOWS.max(SILENT_NANOS / interval);
        Self {
            known: Known::default(),
            sums: Sums { leaves, own, tally: Tally::default(), window: 1, start, life: start },
            silent_windows: u32::try_from(silent).unwrap_or(u32::MAX / 2),
        }
    }

    /// The indices of some records' connections, for [`Connections::observe`].
    #[inline]
    pub fn look_up(&mut self, records: &[ConnectionRecord]) -> [u32; STRIDE] {
        self.known.look_up(records)
    }

    /// Counts a record in. `index` is what [`Connections::look_up`] said, or [`crate::known::NOBODY`].
    #[inline]
    pub fn observe(&mut self, record: &ConnectionRecord, index: u32) {
        let Self { known, sums, .. } = self;
        let index = known.confirm(index, record.id);
        let Some((index, connection)) = index.and_then(|index| Some((index, known.get_mut(index)?))) else {
            let mut connection = sums.join(record);
            sums.add(&mut connection, record);
            if record.event.is_end() {
                sums.leave(&connection);
            } else {
                known.insert(connection);
            }
            return;
        };
        if connection.role != record.role || connection.names != record.names {
            sums.rename(connection, record);
        }
        sums.add(connection, record);
        if record.event.is_end()
            && let Some(connection) = known.remove(index)
        {
            sums.leave(&connection);
        }
    }

    /// Ends the open window at `end` and starts the next. Also returns what happened in it, and its series by level.
    pub fn close(&mut self, end: UnixNanos) -> (Window, Tally, [u64; 3]) {
        if self.sums.window.is_multiple_of(SWEEP_EVERY) {
            self.expire();
        }
        let sums = &mut self.sums;
        let mut series = Vec::new();
        let [service, workload] = sums.leaves.close(sums.window, &mut series);
        let connection = sums.own.as_mut().map_or(0, |own| own.close(sums.window, &mut series));
        let window = Window { start: sums.start, end, series };
        sums.window = sums.window.wrapping_add(1);
        sums.start = end;
        (window, std::mem::take(&mut sums.tally), [service, workload, connection])
    }

    /// Connections known.
    pub fn len(&self) -> usize {
        self.known.open()
    }

    /// For what the caller counts.
    pub fn tally(&mut self) -> &mut Tally {
        &mut self.sums.tally
    }

    fn expire(&mut self) {
        let Self { known, sums, silent_windows } = self;
        let silent = |connection: &Connection| sums.window.wrapping_sub(connection.seen) > *silent_windows;
        let mut expired: Vec<Connection> =
            known.open_where(silent).into_iter().filter_map(|index| known.remove(index)).collect();
        // In an order that does not depend on the map's: free slots are taken again in the order in which they were left.
        expired.sort_by_key(|connection| (connection.own, connection.leaf));
        for connection in &expired {
            sums.tally.expired += 1;
            if connection.established {
                let step = Step { end: Some(End::Closed(CloseReason::Vanished)), ..Step::default() };
                sums.leaves.add_step(connection.leaf, &step, sums.window);
                if let Some(own) = &mut sums.own {
                    own.add_step(connection.own, &step, sums.window);
                }
            }
            sums.leave(connection);
        }
    }
}

impl Identified for Connection {
    #[inline]
    fn id(&self) -> ConnectionId {
        self.id
    }

    fn id_mut(&mut self) -> &mut ConnectionId {
        &mut self.id
    }
}

// === impl Sums ===

impl Sums {
    /// A connection that was not known.
    fn join(&mut self, record: &ConnectionRecord) -> Connection {
        Connection {
            id: record.id,
            names: record.names.clone(),
            leaf: self.leaves.join(record, self.window, self.start, &mut self.tally),
            own: self.own.as_mut().map_or(NO_SERIES, OwnSeries::join),
            seen: self.window.wrapping_sub(1),
            role: record.role,
            established: false,
            sampled: false,
        }
    }

    /// Other names than before (metadata came late), or the role was found out: the connection moves to another leaf, and what it adds
    /// from here on goes there.
    #[cold]
    fn rename(&mut self, connection: &mut Connection, record: &ConnectionRecord) {
        let leaf = self.leaves.join(record, self.window, self.start, &mut self.tally);
        self.leaves.leave(connection.leaf, connection.established);
        if connection.established {
            self.leaves.activate(leaf);
        }
        if let Some(own) = &mut self.own {
            connection.own = own.rename(connection.own, record, self.start, &mut self.tally);
        }
        connection.leaf = leaf;
        connection.role = record.role;
        connection.names = record.names.clone();
    }

    #[inline]
    fn add(&mut self, connection: &mut Connection, record: &ConnectionRecord) {
        if connection.seen != self.window {
            connection.seen = self.window;
            connection.sampled = false;
        }
        let mut step = Step::default();
        if record.acked && !connection.sampled && record.round_trip.smoothed.is_some() {
            connection.sampled = true;
            step.rtt = record.round_trip.smoothed;
        }
        if !connection.established && is_established(record) {
            connection.established = true;
            self.leaves.activate(connection.leaf);
            step.opened = record.start_known
                && (record.first || record.event == Event::Open || record.opened >= self.life);
            step.connect = record.connect_duration.filter(|_| step.opened);
        }
        if record.event.is_end() {
            step.end = Some(end_of(record, connection.established));
            step.duration = record.duration().filter(|_| connection.established).map(|d| d.as_secs_f64());
        }
        self.leaves.add(connection.leaf, record, &step, self.window);
        if let Some(own) = &mut self.own {
            connection.own = own.add(
                connection.own,
                record,
                &step,
                connection.established,
                self.window,
                self.start,
                &mut self.tally,
            );
        }
    }

    /// It ended.
    fn leave(&mut self, connection: &Connection) {
        self.leaves.leave(connection.leaf, connection.established);
        if let Some(own) = &mut self.own {
            own.leave(connection.own);
        }
    }
}

// === impl Step ===

impl Step {
    /// Counts what it tells.
    #[inline]
    pub fn count_in(&self, measures: &mut Measures) {
        if let Some(rtt) = self.rtt {
            measures.rtt.record(seconds(rtt));
        }
        if self.opened {
            measures.opened += 1;
            if let Some(connect) = self.connect {
                measures.connect_duration.record(seconds(connect));
            }
        }
        match self.end {
            None => {}
            Some(End::Failed(reason)) => measures.count_failed(reason, 1),
            Some(End::Closed(reason)) => {
                measures.count_closed(reason);
                if let Some(duration) = self.duration {
                    measures.connection_duration.record(duration);
                }
            }
        }
    }
}

/// Has the connection been established, as far as this record tells?
fn is_established(record: &ConnectionRecord) -> bool {
    match record.event {
        Event::Open | Event::Close | Event::Vanished => true,
        Event::Fail => false,
        Event::Update => {
            !matches!(record.state, TcpState::SynSent | TcpState::SynRecv | TcpState::NewSynRecv)
        }
    }
}

/// How it ended. The event decides between closed and failed, so that opened − closed always gives the open set.
fn end_of(record: &ConnectionRecord, established: bool) -> End {
    match (established, record.end) {
        (true, Some(End::Closed(reason))) => End::Closed(reason),
        (true, _) if record.event == Event::Vanished => End::Closed(CloseReason::Vanished),
        (true, _) => End::Closed(CloseReason::Aborted),
        (false, Some(End::Failed(reason))) => End::Failed(reason),
        (false, _) => End::Failed(FailReason::from_errno(record.errno)),
    }
}
