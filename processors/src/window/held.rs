//! Records of later windows, in the order of their arrival.

use hashbrown::HashMap;
use longwave_pipeline::model::{ConnectionId, ConnectionRecord, UnixNanos};

/// Records that may wait (about 50 MB).
pub(super) const MAX_HELD: usize = 131_072;

/// Waiting records.
#[derive(Default)]
pub(super) struct Held {
    records: Vec<ConnectionRecord>,
    /// Connections with a record here that is not their end, and the latest tick of those. Such a connection's end must not overtake
    /// them (it would, after a step back of the clock), or they would bring it to life again.
    ticks: HashMap<ConnectionId, UnixNanos, foldhash::fast::RandomState>,
}

// === impl Held ===

impl Held {
    /// Lets a record wait. False if there is no room.
    pub fn push(&mut self, record: &ConnectionRecord) -> bool {
        if self.records.len() >= MAX_HELD {
            return false;
        }
        self.note(record.id, record.tick, record.event.is_end());
        self.records.push(record.clone());
        true
    }

    /// Lets the end of a connection wait that has other records here: it belongs behind them. False if it has none, or there is no room.
    pub fn push_behind(&mut self, end: &ConnectionRecord) -> bool {
        match self.ticks.get(&end.id) {
            Some(tick) if self.records.len() < MAX_HELD => {
                self.records.push(ConnectionRecord { tick: *tick, ..end.clone() });
                true
            }
            _ => false,
        }
    }

    /// Takes out the records that `belongs` names, in order.
    pub fn take(&mut self, belongs: impl Fn(&ConnectionRecord) -> bool) -> Vec<ConnectionRecord> {
        let taken: Vec<_> = self.records.extract_if(.., |record| belongs(record)).collect();
        if self.records.is_empty() {
            // A burst must not keep its memory.
            *self = Self::default();
        } else if !taken.is_empty() {
            self.ticks.clear();
            for index in 0..self.records.len() {
                let record = &self.records[index];
                self.note(record.id, record.tick, record.event.is_end());
            }
        }
        taken
    }

    /// The latest tick of all.
    pub fn last_tick(&self) -> Option<UnixNanos> {
        self.records.iter().map(|record| record.tick).max()
    }

    /// Records that wait.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn note(&mut self, id: ConnectionId, tick: UnixNanos, is_end: bool) {
        if !is_end {
            let latest = self.ticks.entry(id).or_default();
            *latest = tick.max(*latest);
        }
    }
}
