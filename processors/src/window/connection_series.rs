//! [`ConnectionSeries`]: level `connection`, with one series for each connection that reached `min_age`.

use std::sync::Arc;

use longwave_pipeline::model::{
    ConnectionRecord, Detail, Level, Limits, Measures, OptionalCount, Series, SeriesKey, Totals, UnixNanos,
    seconds,
};

use super::config::WindowConfig;
use super::level_table::limit;
use super::record_events::RecordEvents;
use super::telemetry::Tally;
use crate::slab::Slab;

/// Used instead of an index if the level is not configured.
pub(super) const NO_SERIES: u32 = u32::MAX;
/// Index of the overflow series.
const OVERFLOW: u32 = u32::MAX - 1;

/// Series of connections, and the sums of connections that are too young for a series.
pub(super) struct ConnectionSeries {
    /// The setting `min_age` in nanoseconds.
    min_age: u64,
    /// Maximum number of series, without the overflow series.
    max: usize,
    entries: Slab<ConnectionEntry>,
    /// Number of entries with a series.
    series: usize,
    overflow: Option<OverflowSeries>,
}

/// State of a connection at this level. Only established connections have a series.
enum ConnectionEntry {
    /// The connection is too young. Its sums are added to its first window.
    Young(YoungSums),
    /// The connection has a series.
    Series(Box<OpenSeries>),
}

/// Sums of a connection before `min_age`. There is one round-trip sample (8 bytes) per window with acknowledged bytes, so there are at most
/// `min_age` ÷ `interval` samples.
#[derive(Default)]
struct YoungSums {
    totals: Totals,
    limits: Limits,
    connected: OptionalCount,
    opened: u64,
    connect: Option<f64>,
    rtt_seconds: Vec<f64>,
}

struct OpenSeries {
    key: Arc<SeriesKey>,
    created: UnixNanos,
    /// Whether the connection closed or has another series now, so that this is the series' last window.
    ended: bool,
    /// Index of the series that the connection had at the start of the window, if that is another one; otherwise [`NO_SERIES`].
    former: u32,
    measures: Measures,
}

struct OverflowSeries {
    series: OpenSeries,
    /// Number of open connections whose records are added to this series.
    connections: u64,
    /// Number of the window of the last record.
    last_used: u32,
}

// === impl ConnectionSeries ===

impl ConnectionSeries {
    /// Creates an empty set of series.
    pub fn new(config: &WindowConfig) -> Self {
        Self {
            min_age: u64::try_from(config.min_age.as_nanos()).unwrap_or(u64::MAX),
            max: limit(config.max_series),
            entries: Slab::default(),
            series: 0,
            overflow: None,
        }
    }

    /// Adds a new connection. Returns its index.
    pub fn join(&mut self) -> u32 {
        self.entries.insert(ConnectionEntry::Young(YoungSums::default()))
    }

    /// Adds one record. Returns the connection's index, which changes when the connection gets a series.
    #[allow(
        clippy::too_many_arguments,
        reason = "the caller's state, field by field: one caller, on the hot path"
    )]
    pub fn add(
        &mut self,
        index: u32,
        record: &ConnectionRecord,
        events: &RecordEvents,
        established: bool,
        window: u32,
        now: UnixNanos,
        tally: &mut Tally,
    ) -> u32 {
        let min_age = self.min_age;
        if let Some(ConnectionEntry::Young(young)) = self.entries.get_mut(index) {
            if !established || !is_old_enough(record, min_age) {
                young.add(record, events);
                return index;
            }
            let young = std::mem::take(young);
            self.entries.remove(index);
            let key = SeriesKey::of_record(Level::Connection, record, Detail::default());
            let index = self.create(key, young.into_measures(), NO_SERIES, now, tally);
            self.add_to(index, record, events, window);
            return index;
        }
        self.add_to(index, record, events, window);
        index
    }

    /// Adds events without a record. Used for a connection that expires.
    pub fn add_events(&mut self, index: u32, events: &RecordEvents, window: u32) {
        match (self.entries.get_mut(index), &mut self.overflow) {
            (Some(ConnectionEntry::Series(series)), _) => events.count_in(&mut series.measures),
            (None, Some(overflow)) if index == OVERFLOW => {
                overflow.last_used = window;
                events.count_in(&mut overflow.series.measures);
            }
            _ => {}
        }
    }

    /// Moves the connection to a series with the record's names. Returns its index.
    ///
    /// The former series ends. A series that began in this window gets the new names instead, so that a connection has at most two series
    /// in a window. If it gets the names of the former series, that one continues.
    pub fn rename(
        &mut self,
        index: u32,
        record: &ConnectionRecord,
        now: UnixNanos,
        tally: &mut Tally,
    ) -> u32 {
        let Some(ConnectionEntry::Series(series)) = self.entries.get_mut(index) else { return index };
        let key = SeriesKey::of_record(Level::Connection, record, Detail::default());
        if *series.key == key {
            return index;
        }
        if series.created < now {
            series.ended = true;
            return self.create(key, Measures::default(), index, now, tally);
        }
        let former = series.former;
        if let Some(ConnectionEntry::Series(entry)) = self.entries.get(former)
            && *entry.key == key
        {
            return self.return_to(former, index);
        }
        if let Some(ConnectionEntry::Series(series)) = self.entries.get_mut(index) {
            series.key = Arc::new(key);
        }
        index
    }

    /// Removes a closed connection.
    pub fn leave(&mut self, index: u32) {
        match self.entries.get_mut(index) {
            Some(ConnectionEntry::Young(_)) => {
                self.entries.remove(index);
            }
            Some(ConnectionEntry::Series(series)) => series.ended = true,
            None => {
                if let Some(overflow) = self.overflow.as_mut().filter(|_| index == OVERFLOW) {
                    overflow.connections -= 1;
                }
            }
        }
    }

    /// Appends every series to `into` and starts the next window. Returns the number of series.
    pub fn close(&mut self, window: u32, into: &mut Vec<Series>) -> u64 {
        let before = into.len();
        let Self { entries, series, overflow, .. } = self;
        entries.retain(|_, entry| {
            let ConnectionEntry::Series(open) = entry else { return true };
            let ended = open.ended;
            open.former = NO_SERIES;
            into.push(open.export(u64::from(!ended), ended));
            *series -= usize::from(ended);
            !ended
        });
        if let Some(folded) = overflow {
            let ended = folded.connections == 0 && folded.last_used != window;
            into.push(folded.series.export(folded.connections, ended));
            if ended {
                *overflow = None;
            }
        }
        (into.len() - before) as u64
    }

    /// Continues the series at `former` instead of the one at `index`, which began in this window. Returns `former`.
    fn return_to(&mut self, former: u32, index: u32) -> u32 {
        if let Some(ConnectionEntry::Series(left)) = self.entries.remove(index) {
            self.series -= 1;
            if let Some(ConnectionEntry::Series(series)) = self.entries.get_mut(former) {
                series.ended = false;
                series.measures.merge(&left.measures);
            }
        }
        former
    }

    fn create(
        &mut self,
        key: SeriesKey,
        measures: Measures,
        former: u32,
        now: UnixNanos,
        tally: &mut Tally,
    ) -> u32 {
        if self.series < self.max {
            self.series += 1;
            let series = OpenSeries { key: Arc::new(key), created: now, ended: false, former, measures };
            return self.entries.insert(ConnectionEntry::Series(Box::new(series)));
        }
        tally.overflowed[Level::Connection as usize] += 1;
        let overflow = self.overflow.get_or_insert_with(|| OverflowSeries::new(now));
        overflow.series.measures.merge(&measures);
        overflow.connections += 1;
        OVERFLOW
    }

    fn add_to(&mut self, index: u32, record: &ConnectionRecord, events: &RecordEvents, window: u32) {
        match (self.entries.get_mut(index), &mut self.overflow) {
            (Some(ConnectionEntry::Series(series)), _) => series.add(record, events),
            (None, Some(overflow)) if index == OVERFLOW => {
                overflow.last_used = window;
                overflow.series.add(record, events);
            }
            _ => {}
        }
    }
}

/// Returns whether the connection has reached `min_age` (nanoseconds).
fn is_old_enough(record: &ConnectionRecord, min_age: u64) -> bool {
    !record.start_known || record.age >= min_age
}

// === impl YoungSums ===

impl YoungSums {
    fn add(&mut self, record: &ConnectionRecord, events: &RecordEvents) {
        self.totals.add(&record.delta);
        self.limits.add(&record.limits_delta);
        self.connected.add(record.elapsed);
        self.opened += u64::from(events.opened);
        if let Some(connect) = events.connect {
            self.connect = Some(seconds(connect));
        }
        self.rtt_seconds.extend(events.rtt.map(seconds));
    }

    fn into_measures(self) -> Measures {
        let mut measures = Measures {
            totals: self.totals,
            limits: self.limits,
            connected: self.connected,
            opened: self.opened,
            ..Measures::default()
        };
        if let Some(connect) = self.connect {
            measures.connect_duration.record(connect);
        }
        for rtt in self.rtt_seconds {
            measures.rtt.record(rtt);
        }
        measures
    }
}

// === impl OpenSeries ===

impl OpenSeries {
    fn add(&mut self, record: &ConnectionRecord, events: &RecordEvents) {
        self.measures.add_deltas(record);
        self.measures.offer_min_rtt(record.round_trip.minimum.map(seconds));
        events.count_in(&mut self.measures);
    }

    fn export(&mut self, active: u64, ended: bool) -> Series {
        let mut measures = std::mem::take(&mut self.measures);
        measures.active = active;
        Series {
            level: Level::Connection,
            key: Arc::clone(&self.key),
            created: self.created,
            ended,
            measures,
        }
    }
}

// === impl OverflowSeries ===

impl OverflowSeries {
    fn new(now: UnixNanos) -> Self {
        let series = OpenSeries {
            key: Arc::new(SeriesKey::Overflow),
            created: now,
            ended: false,
            former: NO_SERIES,
            measures: Measures::default(),
        };
        Self { series, connections: 0, last_used: 0 }
    }
}
