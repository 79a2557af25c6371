//! Records on their way out, and what is taken back when they are refused.

use std::mem;

use longwave_pipeline::component::Delivered;
use longwave_pipeline::model::{ConnectionRecord, Totals};

use super::super::sink::Sink;
use super::super::state::mark;
use super::{Owed, Tracker};

/// Records in one batch: 96 KiB, which stays in the second-level cache, and below the size from which freed memory is unmapped.
pub const BATCH: usize = 256;

/// Updates and events; at most one of the two is not empty, so that their order is kept.
#[derive(Debug, Default)]
pub struct Batches {
    updates: Vec<ConnectionRecord>,
    undo: Vec<Undo>,
    events: Vec<ConnectionRecord>,
}

/// What a connection's state was before an update.
#[derive(Clone, Copy, Debug)]
pub struct Undo {
    pub cookie: u64,
    pub generation: u64,
    pub totals: Totals,
    pub una: u32,
    pub first: bool,
}

impl<S: Sink> Tracker<S> {
    /// Sends what is waiting.
    pub fn flush(&mut self) {
        self.flush_updates();
        self.flush_events();
        self.sink.relieve();
    }

    pub(super) fn push_update(&mut self, record: ConnectionRecord, undo: Undo) {
        self.flush_events();
        reserve(&mut self.batches.updates);
        self.batches.updates.push(record);
        self.batches.undo.push(undo);
        if self.batches.updates.len() >= BATCH {
            self.flush_updates();
        }
    }

    /// The event's delta must start from what was delivered: call [`Self::flush_updates`] before it is computed.
    pub(super) fn push_event(&mut self, record: ConnectionRecord) {
        reserve(&mut self.batches.events);
        self.batches.events.push(record);
        if self.batches.events.len() >= BATCH {
            self.flush_events();
        }
    }

    pub(super) fn flush_updates(&mut self) {
        if self.batches.updates.is_empty() {
            return;
        }
        match self.sink.offer(mem::take(&mut self.batches.updates)) {
            Delivered::All => self.batches.undo.clear(),
            Delivered::None => self.take_back(),
        }
    }

    fn flush_events(&mut self) {
        if !self.batches.events.is_empty() {
            self.sink.give(mem::take(&mut self.batches.events));
        }
    }

    /// Latest first, so that a connection that was updated twice ends up where it began.
    fn take_back(&mut self) {
        for undo in mem::take(&mut self.batches.undo).into_iter().rev() {
            let Some(connection) = self.connections.get_mut(&undo.cookie) else { continue };
            if connection.generation != undo.generation {
                continue;
            }
            let state = &mut connection.state;
            self.owed.entry(undo.cookie).or_insert(Owed { totals: state.totals(), una: state.una });
            state.set_totals(&undo.totals);
            state.una = undo.una;
            state.set(mark::REPORTED, !undo.first);
        }
    }
}

fn reserve(records: &mut Vec<ConnectionRecord>) {
    if records.capacity() == 0 {
        records.reserve_exact(BATCH);
    }
}
