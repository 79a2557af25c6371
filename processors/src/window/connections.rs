//! [`Connections`]: the open connections, and what one record adds to the sums of the open window.

use longwave_pipeline::model::{
    CloseReason, ConnectionId, ConnectionRecord, End, Event, Level, Names, Role, UnixNanos, Window,
};

use super::config::WindowConfig;
use super::connection_series::{ConnectionSeries, NO_SERIES};
use super::new_connection::NewConnection;
use super::record_events::{RecordEvents, end_of, is_established};
use super::series_pairs::SeriesPairs;
use super::telemetry::Tally;
use crate::connection_map::{ConnectionMap, Identified, NO_INDEX, STRIDE};
use crate::slab::Slab;

/// Nanoseconds without a record after which a connection expires. Its close was dropped, and is counted by the stage that dropped it.
const SILENT_NANOS: u64 = 600_000_000_000;
/// Minimum number of windows without a record before a connection expires.
const SILENT_WINDOWS: u64 = 120;
/// Number of windows between two searches for silent connections, which visit every connection.
const SWEEP_EVERY: u32 = 16;

/// The open connections and all sums of the open window.
pub(super) struct Connections {
    map: ConnectionMap<Connection>,
    sums: WindowSums,
    /// Number of windows without a record after which a connection expires.
    silent_windows: u32,
}

/// State of one connection. With the tag of its slot, it fits into a cache line of 64 bytes.
struct Connection {
    id: ConnectionId,
    names: Names,
    /// Index of its [`SeriesPairs`] entry, or of its [`NewConnection`] if `is_new`; [`NO_PAIR`] before its first record is added.
    pair: u32,
    /// Index of its [`ConnectionSeries`] entry, or [`NO_SERIES`].
    own: u32,
    /// Number of the window of the last record.
    last_window: u32,
    role: Role,
    established: bool,
    /// Whether it was opened in the open window.
    is_new: bool,
    /// Whether a round trip was sampled in window `last_window`.
    sampled: bool,
}

const _: () = assert!(size_of::<Option<Connection>>() <= 64);

/// Used instead of the index of a pair.
const NO_PAIR: u32 = u32::MAX;

/// The sums of the open window.
struct WindowSums {
    pairs: SeriesPairs,
    /// The connections that were opened in this window and are open.
    new: Slab<NewConnection>,
    /// Level `connection`, if it is configured.
    own: Option<ConnectionSeries>,
    tally: Tally,
    /// Number of the open window; wraps after centuries.
    window: u32,
    /// Start of the open window.
    start: UnixNanos,
    /// Start of the first window. Connections that are older were not opened in a window of this processor.
    first_start: UnixNanos,
}

// === impl Connections ===

impl Connections {
    /// Creates an empty set. The first window starts at `start`.
    pub fn new(config: &WindowConfig, start: UnixNanos) -> Self {
        let own =
            config.attributes(Level::Connection).map(|attributes| ConnectionSeries::new(config, attributes));
        let pairs = SeriesPairs::new(config);
        let interval = u64::try_from(config.interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        let silent = SILENT_WINDOWS.max(SILENT_NANOS / interval);
        Self {
            map: ConnectionMap::default(),
            sums: WindowSums {
                pairs,
                new: Slab::default(),
                own,
                tally: Tally::default(),
                window: 1,
                start,
                first_start: start,
            },
            silent_windows: u32::try_from(silent).unwrap_or(u32::MAX / 2),
        }
    }

    /// Returns the indices of the records' connections, for [`Connections::observe`].
    #[inline]
    pub fn look_up(&mut self, records: &[ConnectionRecord]) -> [u32; STRIDE] {
        self.map.look_up(records)
    }

    /// Adds a record. `index` is what [`Connections::look_up`] returned for it, or [`crate::connection_map::NO_INDEX`].
    #[inline]
    pub fn observe(&mut self, record: &ConnectionRecord, index: u32) {
        let Self { map, sums, .. } = self;
        let index = map.confirm(index, record.id);
        let Some((index, connection)) = index.and_then(|index| Some((index, map.get_mut(index)?))) else {
            let mut connection = sums.begin(record);
            sums.add(&mut connection, record, NO_INDEX);
            if record.event.is_end() {
                sums.leave(&connection);
            } else {
                let new = connection.is_new.then_some(connection.pair);
                let index = map.insert(connection);
                if let Some(new) = new.and_then(|new| sums.new.get_mut(new)) {
                    new.index = index;
                }
            }
            return;
        };
        if connection.role != record.role || connection.names != record.names {
            sums.rename(connection, record);
        }
        sums.add(connection, record, index);
        if record.event.is_end()
            && let Some(connection) = map.remove(index)
        {
            sums.leave(&connection);
        }
    }

    /// Ends the open window at `end` and starts the next. Returns the window, its tally, and the number of its series by level.
    pub fn close(&mut self, end: UnixNanos) -> (Window, Tally, [u64; 3]) {
        if self.sums.window.is_multiple_of(SWEEP_EVERY) {
            self.expire();
        }
        let Self { map, sums, .. } = self;
        for new in std::mem::take(&mut sums.new).into_values() {
            if let Some(connection) = map.get_mut(new.index) {
                sums.settle(connection, &new);
            }
        }
        let mut series = Vec::new();
        let [service, workload] = sums.pairs.close(sums.window, &mut series);
        let connection = sums.own.as_mut().map_or(0, |own| own.close(sums.window, &mut series));
        let window = Window { start: sums.start, end, series };
        sums.window = sums.window.wrapping_add(1);
        sums.start = end;
        (window, std::mem::take(&mut sums.tally), [service, workload, connection])
    }

    /// Returns the number of open connections.
    pub fn len(&self) -> usize {
        self.map.open()
    }

    /// Returns the number of series, pairs of series and sums that are stored.
    #[cfg(test)]
    pub fn stored_series(&self) -> usize {
        let own = self.sums.own.as_ref().map_or(0, ConnectionSeries::len);
        self.sums.pairs.len() + self.sums.new.len() + own
    }

    /// Returns the tally of the open window, to which the caller adds its own counts.
    pub fn tally(&mut self) -> &mut Tally {
        &mut self.sums.tally
    }

    fn expire(&mut self) {
        let Self { map, sums, silent_windows } = self;
        let silent =
            |connection: &Connection| sums.window.wrapping_sub(connection.last_window) > *silent_windows;
        let mut expired: Vec<Connection> =
            map.open_where(silent).into_iter().filter_map(|index| map.remove(index)).collect();
        // The order of removal decides which slots are reused first. It must not depend on the order of the hash table.
        expired.sort_by_key(|connection| (connection.own, connection.pair));
        for connection in &expired {
            sums.tally.expired += 1;
            if connection.established {
                let end = Some(End::Closed(CloseReason::Vanished));
                let events = RecordEvents { end, ..RecordEvents::default() };
                sums.pairs.add_events(connection.pair, &events, sums.window);
                if let Some(own) = &mut sums.own {
                    own.add_events(connection.own, &events, sums.window);
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

// === impl WindowSums ===

impl WindowSums {
    /// Creates the state of a connection that is not known yet.
    fn begin(&mut self, record: &ConnectionRecord) -> Connection {
        Connection {
            id: record.id,
            names: record.names.clone(),
            pair: NO_PAIR,
            own: self.own.as_mut().map_or(NO_SERIES, ConnectionSeries::join),
            last_window: self.window.wrapping_sub(1),
            role: record.role,
            established: false,
            is_new: false,
            sampled: false,
        }
    }

    /// Adds the connection to the pair of its names and role.
    fn join(&mut self, connection: &mut Connection) {
        let Connection { names, role, .. } = &*connection;
        connection.pair = self.pairs.join(names, *role, self.window, self.start, &mut self.tally);
        if connection.established {
            self.pairs.activate(connection.pair);
        }
    }

    /// Adds a connection that was opened in this window to the pair of its names, with the sums of its records so far.
    fn settle(&mut self, connection: &mut Connection, new: &NewConnection) {
        connection.is_new = false;
        self.join(connection);
        self.pairs.add_new(connection.pair, new, self.window);
    }

    /// Gives the connection the record's names and role, and moves it to the pair of these. Names change when metadata arrives late, and
    /// the role when it becomes known.
    #[cold]
    fn rename(&mut self, connection: &mut Connection, record: &ConnectionRecord) {
        let (pair, own) = (connection.pair, connection.own);
        connection.role = record.role;
        connection.names = record.names.clone();
        if !connection.is_new {
            self.join(connection);
            self.pairs.leave(pair, connection.established);
        }
        if let Some(series) = &mut self.own {
            connection.own = series.rename(own, record, self.start, &mut self.tally);
        }
        let has_moved = connection.pair != pair || connection.own != own;
        self.tally.moved += u64::from(has_moved && connection.established);
    }

    /// Adds a record. `index` is that of the connection.
    #[inline]
    fn add(&mut self, connection: &mut Connection, record: &ConnectionRecord, index: u32) {
        let was_established = connection.established;
        let events = self.events(connection, record);
        let is_end = record.event.is_end();
        if events.opened && !is_end {
            self.pairs.leave(connection.pair, was_established);
            connection.pair = self.new.insert(NewConnection::new(index));
            connection.is_new = true;
        } else if connection.is_new && is_end {
            if let Some(new) = self.new.remove(connection.pair) {
                self.settle(connection, &new);
            }
        } else if connection.pair == NO_PAIR {
            self.join(connection);
        } else if connection.established && !was_established {
            self.pairs.activate(connection.pair);
        }
        if connection.is_new {
            if let Some(new) = self.new.get_mut(connection.pair) {
                new.add(record, &events);
            }
        } else {
            self.pairs.add(connection.pair, record, &events, self.window);
        }
        if let Some(own) = &mut self.own {
            connection.own = own.add(
                connection.own,
                record,
                &events,
                connection.established,
                self.window,
                self.start,
                &mut self.tally,
            );
        }
    }

    /// Returns what the record reports in addition to its deltas, and stores it with the connection.
    #[inline]
    fn events(&self, connection: &mut Connection, record: &ConnectionRecord) -> RecordEvents {
        if connection.last_window != self.window {
            connection.last_window = self.window;
            connection.sampled = false;
        }
        let mut events = RecordEvents::default();
        if record.acked && !connection.sampled && record.round_trip.smoothed.is_some() {
            connection.sampled = true;
            events.rtt = record.round_trip.smoothed;
        }
        if !connection.established && is_established(record) {
            connection.established = true;
            // A receiver that reports an open has observed it, even if the time is not known.
            events.opened = record.event == Event::Open
                || (record.start_known && (record.first || record.opened >= self.first_start));
            events.connect = record.connect_duration.filter(|_| events.opened);
        }
        if record.event.is_end() {
            events.end = Some(end_of(record, connection.established));
            events.duration = record.duration().filter(|_| connection.established).map(|d| d.as_secs_f64());
        }
        events
    }

    /// Removes a closed connection.
    fn leave(&mut self, connection: &Connection) {
        self.pairs.leave(connection.pair, connection.established);
        if let Some(own) = &mut self.own {
            own.leave(connection.own);
        }
    }
}
