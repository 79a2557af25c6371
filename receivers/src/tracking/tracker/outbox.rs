//! Sends records to the sink in batches, and returns the updates that it refused.

use std::mem;

use super::super::sink::Sink;
use super::connection::Progress;
use longwave_pipeline::component::Delivered;
use longwave_pipeline::model::ConnectionRecord;

/// Records in one batch: 96 KiB, which stays in the second-level cache, and below the size from which freed memory is unmapped.
pub const BATCH: usize = 256;

/// Collects records into batches. Either `updates` or `events` is empty, so that the order of the records is kept.
#[derive(Debug)]
pub struct Outbox<S> {
    pub sink: S,
    updates: Vec<ConnectionRecord>,
    /// One for each of `updates`.
    undo: Vec<Undo>,
    events: Vec<ConnectionRecord>,
}

/// What is needed to undo an update.
#[derive(Clone, Copy, Debug)]
pub struct Undo {
    pub cookie: u64,
    pub generation: u64,
    pub before: Progress,
    pub first: bool,
}

/// The updates that were refused, in their order. Usually empty.
pub type Refused = Vec<Undo>;

impl<S: Sink> Outbox<S> {
    pub fn new(sink: S) -> Self {
        Self { sink, updates: Vec::new(), undo: Vec::new(), events: Vec::new() }
    }

    /// Sends everything.
    #[must_use]
    pub fn flush(&mut self) -> Refused {
        let refused = self.flush_updates();
        self.flush_events();
        self.sink.send_waiting();
        refused
    }

    #[must_use]
    pub fn push_update(&mut self, record: ConnectionRecord, undo: Undo) -> Refused {
        self.flush_events();
        push(&mut self.updates, record);
        self.undo.push(undo);
        if self.updates.len() >= BATCH { self.flush_updates() } else { Refused::new() }
    }

    /// Adds the record of an event. Its delta must start from what was delivered, so call [`Self::flush_updates`] before you compute it.
    pub fn push_event(&mut self, record: ConnectionRecord) {
        push(&mut self.events, record);
        if self.events.len() >= BATCH {
            self.flush_events();
        }
    }

    #[must_use]
    pub fn flush_updates(&mut self) -> Refused {
        if !self.updates.is_empty() {
            match self.sink.offer_updates(mem::take(&mut self.updates)) {
                Delivered::All => self.undo.clear(),
                Delivered::None => return mem::take(&mut self.undo),
            }
        }
        Refused::new()
    }

    fn flush_events(&mut self) {
        if !self.events.is_empty() {
            self.sink.give_events(mem::take(&mut self.events));
        }
    }
}

fn push(batch: &mut Vec<ConnectionRecord>, record: ConnectionRecord) {
    if batch.capacity() == 0 {
        batch.reserve_exact(BATCH);
    }
    batch.push(record);
}
