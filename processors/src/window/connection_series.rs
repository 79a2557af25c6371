//! [`ConnectionSeries`]: level `connection`, with one series for each connection that reached `min_age`.
//!
//! Connections share a series if there is no room for one of their own, or if the level does not have the attribute
//! `longwave.connection.id`. A connection that was folded into a coarser series stays in it until it ends, even if there is room again: a
//! series of its own that begins in the middle would have only a part of its counts.

use std::sync::Arc;

use longwave_pipeline::model::{
    ConnectionRecord, Level, Measures, Rung, Series, SeriesAttributes, SeriesKey, UnixNanos, seconds,
};

use super::config::WindowConfig;
use super::record_events::RecordEvents;
use super::series_keys::SeriesKeys;
use super::telemetry::Tally;
use super::young_sums::YoungSums;
use crate::slab::Slab;

/// Used instead of an index if the level is not configured.
pub(super) const NO_SERIES: u32 = u32::MAX;

/// Series of connections, and the sums of connections that are too young for a series.
pub(super) struct ConnectionSeries {
    /// The setting `min_age` in nanoseconds.
    min_age: u64,
    attributes: SeriesAttributes,
    keys: SeriesKeys,
    entries: Slab<ConnectionEntry>,
}

/// State of one or more connections at this level. Only established connections have a series.
enum ConnectionEntry {
    /// The connection is too young. Its sums are added to its first window.
    Young(YoungSums),
    /// The connection has a series of its own.
    Own(Box<OwnSeries>),
    /// A series that several connections may share.
    Shared(Box<SharedSeries>),
}

struct OpenSeries {
    key: Arc<SeriesKey>,
    created: UnixNanos,
    measures: Measures,
}

struct OwnSeries {
    series: OpenSeries,
    /// Whether the connection closed or has another series now, so that this is the series' last window.
    ended: bool,
    /// Index of the series that the connection had at the start of the window, if that is another one; otherwise [`NO_SERIES`].
    former: u32,
}

struct SharedSeries {
    series: OpenSeries,
    /// The rung, if connections are folded into this series.
    rung: Option<Rung>,
    /// Number of open connections whose records are added to this series.
    connections: u64,
    /// Number of the window of the last record.
    last_used: u32,
}

// === impl ConnectionSeries ===

impl ConnectionSeries {
    /// Creates an empty set of series.
    pub fn new(config: &WindowConfig, attributes: SeriesAttributes) -> Self {
        Self {
            min_age: u64::try_from(config.min_age.as_nanos()).unwrap_or(u64::MAX),
            attributes,
            keys: SeriesKeys::new(config.max_series),
            entries: Slab::default(),
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
            let index = self.enter(record, young.into_measures(), NO_SERIES, now, tally);
            self.add_to(index, record, events, window);
            return index;
        }
        self.add_to(index, record, events, window);
        index
    }

    /// Adds events without a record. Used for a connection that expires.
    pub fn add_events(&mut self, index: u32, events: &RecordEvents, window: u32) {
        match self.entries.get_mut(index) {
            Some(ConnectionEntry::Own(own)) => events.count_in(&mut own.series.measures),
            Some(ConnectionEntry::Shared(shared)) => {
                shared.last_used = window;
                events.count_in(&mut shared.series.measures);
            }
            Some(ConnectionEntry::Young(_)) | None => {}
        }
    }

    /// Moves the connection to a series with the record's names. Returns its index.
    pub fn rename(
        &mut self,
        index: u32,
        record: &ConnectionRecord,
        now: UnixNanos,
        tally: &mut Tally,
    ) -> u32 {
        match self.entries.get_mut(index) {
            Some(ConnectionEntry::Own(_)) => self.rename_own(index, record, now, tally),
            Some(ConnectionEntry::Shared(_)) => self.rename_shared(index, record, now, tally),
            Some(ConnectionEntry::Young(_)) | None => index,
        }
    }

    /// Removes a closed connection.
    pub fn leave(&mut self, index: u32) {
        match self.entries.get_mut(index) {
            Some(ConnectionEntry::Young(_)) => {
                self.entries.remove(index);
            }
            Some(ConnectionEntry::Own(own)) => own.ended = true,
            Some(ConnectionEntry::Shared(shared)) => shared.connections -= 1,
            None => {}
        }
    }

    /// Returns the number of series, and of connections that are too young for one.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Appends every series to `into` and starts the next window. Returns the number of series.
    pub fn close(&mut self, window: u32, into: &mut Vec<Series>) -> u64 {
        let before = into.len();
        let Self { entries, keys, .. } = self;
        entries.retain(|_, entry| match entry {
            ConnectionEntry::Young(_) => true,
            ConnectionEntry::Own(own) => {
                own.former = NO_SERIES;
                into.push(own.series.export(u64::from(!own.ended), own.ended));
                if own.ended {
                    keys.remove_unique();
                }
                !own.ended
            }
            ConnectionEntry::Shared(shared) => {
                let ended = shared.connections == 0 && shared.last_used != window;
                into.push(shared.series.export(shared.connections, ended));
                if ended {
                    keys.remove(&shared.series.key);
                }
                !ended
            }
        });
        (into.len() - before) as u64
    }

    /// Renames a connection with a series of its own.
    ///
    /// The former series ends. A series that began in this window gets the new names instead, so that a connection has at most two series
    /// in a window. If it gets the names of the former series, that one continues.
    fn rename_own(
        &mut self,
        index: u32,
        record: &ConnectionRecord,
        now: UnixNanos,
        tally: &mut Tally,
    ) -> u32 {
        let key = SeriesKey::of_record(record, &self.attributes);
        let Some(ConnectionEntry::Own(own)) = self.entries.get_mut(index) else { return index };
        if *own.series.key == key {
            return index;
        }
        if own.series.created < now {
            own.ended = true;
            return self.enter(record, Measures::default(), index, now, tally);
        }
        let former = own.former;
        if let Some(ConnectionEntry::Own(own)) = self.entries.get(former)
            && *own.series.key == key
        {
            return self.return_to(former, index);
        }
        if let Some(ConnectionEntry::Own(own)) = self.entries.get_mut(index) {
            own.series.key = Arc::new(key);
        }
        index
    }

    /// Renames a connection that shares a series. It stays there if the series has the new names, too, and moves to another shared series
    /// otherwise.
    fn rename_shared(
        &mut self,
        index: u32,
        record: &ConnectionRecord,
        now: UnixNanos,
        tally: &mut Tally,
    ) -> u32 {
        let key = SeriesKey::of_record(record, &self.attributes);
        let Some(ConnectionEntry::Shared(shared)) = self.entries.get_mut(index) else { return index };
        let stays = match shared.rung {
            Some(rung) => key.folded(rung).is_some_and(|folded| *shared.series.key == folded),
            None => *shared.series.key == key,
        };
        if stays {
            return index;
        }
        shared.connections -= 1;
        self.share(key, Measures::default(), now, tally)
    }

    /// Continues the series at `former` instead of the one at `index`, which began in this window. Returns `former`.
    fn return_to(&mut self, former: u32, index: u32) -> u32 {
        if let Some(ConnectionEntry::Own(left)) = self.entries.remove(index) {
            self.keys.remove_unique();
            if let Some(ConnectionEntry::Own(own)) = self.entries.get_mut(former) {
                own.ended = false;
                own.series.measures.merge(&left.series.measures);
            }
        }
        former
    }

    /// Adds a connection to a series of its own, or to one that it shares. Returns its index.
    fn enter(
        &mut self,
        record: &ConnectionRecord,
        measures: Measures,
        former: u32,
        now: UnixNanos,
        tally: &mut Tally,
    ) -> u32 {
        let key = SeriesKey::of_record(record, &self.attributes);
        if !self.attributes.identify_connections() || !self.keys.add_unique() {
            return self.share(key, measures, now, tally);
        }
        let series = OpenSeries { key: Arc::new(key), created: now, measures };
        self.entries.insert(ConnectionEntry::Own(Box::new(OwnSeries { series, ended: false, former })))
    }

    /// Adds a connection to a series that it shares. Returns the index of the series.
    fn share(&mut self, key: SeriesKey, measures: Measures, now: UnixNanos, tally: &mut Tally) -> u32 {
        let Self { attributes, keys, entries, .. } = self;
        let create = |key: Arc<SeriesKey>| {
            entries.insert(ConnectionEntry::Shared(Box::new(SharedSeries::new(key, now))))
        };
        let slot = if attributes.identify_connections() {
            keys.fold(&key, create)
        } else {
            keys.find_or_create(key, create)
        };
        tally.count_folded(Level::Connection, slot.rung);
        if let Some(ConnectionEntry::Shared(shared)) = entries.get_mut(slot.index) {
            shared.series.measures.merge(&measures);
            shared.connections += 1;
        }
        slot.index
    }

    fn add_to(&mut self, index: u32, record: &ConnectionRecord, events: &RecordEvents, window: u32) {
        match self.entries.get_mut(index) {
            Some(ConnectionEntry::Own(own)) => own.series.add(record, events),
            Some(ConnectionEntry::Shared(shared)) => {
                shared.last_used = window;
                shared.series.add(record, events);
            }
            Some(ConnectionEntry::Young(_)) | None => {}
        }
    }
}

/// Returns whether the connection has reached `min_age` (nanoseconds).
fn is_old_enough(record: &ConnectionRecord, min_age: u64) -> bool {
    !record.start_known || record.age >= min_age
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

// === impl SharedSeries ===

impl SharedSeries {
    fn new(key: Arc<SeriesKey>, created: UnixNanos) -> Self {
        let rung = key.rung();
        let series = OpenSeries { key, created, measures: Measures::default() };
        Self { series, rung, connections: 0, last_used: 0 }
    }
}
