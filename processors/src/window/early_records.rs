//! [`EarlyRecords`]: records of later windows, which wait until their window opens.

use hashbrown::HashMap;
use longwave_pipeline::model::{ConnectionId, ConnectionRecord, UnixNanos};

/// Maximum number of waiting records (about 50 MB).
pub(super) const MAX_EARLY_RECORDS: usize = 131_072;

/// Waiting records, in the order of their arrival.
#[derive(Default)]
pub(super) struct EarlyRecords {
    records: Vec<ConnectionRecord>,
    /// The latest tick of each connection's waiting records, without its last record. If the clock is set back, the last record can belong
    /// to an earlier window than the others. It must wait with them, because records after the last one would count as a new connection.
    latest_ticks: HashMap<ConnectionId, UnixNanos, foldhash::fast::RandomState>,
}

// === impl EarlyRecords ===

impl EarlyRecords {
    /// Adds a record. Returns false if there is no room.
    pub fn push(&mut self, record: &ConnectionRecord) -> bool {
        if self.records.len() >= MAX_EARLY_RECORDS {
            return false;
        }
        self.note_tick(record.id, record.tick, record.event.is_end());
        self.records.push(record.clone());
        true
    }

    /// Adds the last record of a connection after its other waiting records. Returns false if no record of it waits, or if there is no
    /// room.
    pub fn push_after_others(&mut self, end: &ConnectionRecord) -> bool {
        match self.latest_ticks.get(&end.id) {
            Some(tick) if self.records.len() < MAX_EARLY_RECORDS => {
                self.records.push(ConnectionRecord { tick: *tick, ..end.clone() });
                true
            }
            _ => false,
        }
    }

    /// Removes and returns the records for which `is_due` returns true, in their order.
    pub fn take(&mut self, is_due: impl Fn(&ConnectionRecord) -> bool) -> Vec<ConnectionRecord> {
        let taken: Vec<_> = self.records.extract_if(.., |record| is_due(record)).collect();
        if self.records.is_empty() {
            // Frees the memory that a burst has taken.
            *self = Self::default();
        } else if !taken.is_empty() {
            self.latest_ticks.clear();
            for index in 0..self.records.len() {
                let record = &self.records[index];
                self.note_tick(record.id, record.tick, record.event.is_end());
            }
        }
        taken
    }

    /// Returns the latest tick of the waiting records.
    pub fn last_tick(&self) -> Option<UnixNanos> {
        self.records.iter().map(|record| record.tick).max()
    }

    /// Returns the number of waiting records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns whether no record waits.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn note_tick(&mut self, id: ConnectionId, tick: UnixNanos, is_end: bool) {
        if !is_end {
            let latest = self.latest_ticks.entry(id).or_default();
            *latest = tick.max(*latest);
        }
    }
}
