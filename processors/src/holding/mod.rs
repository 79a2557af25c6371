//! [`Holding`]: names records with a [`Resolver`], and holds records whose names are pending.
//!
//! One batch is processed in these steps:
//! 1. The resolver reads the changes of its sources.
//! 2. Each record's connection is looked up, and resolved if it is new or incomplete. All are resolved before the first is named, so that
//!    two ends in one batch find each other in any order. With [`Resolver::NAMES_EARLY`], records are named immediately instead.
//! 3. Held records whose names are known by now leave, before the batch.
//! 4. Records whose names are pending are held, and so are those whose connection has held records ([`held`]).
//! 5. The other records are named. A batch that other pipelines share is copied only if there is a name to write.
//! 6. Closed connections are removed.
//!
//! At the end of a pass, records that have waited for the whole `hold` are released before the watermark is passed on.

pub(crate) mod held;
mod resolver;
mod telemetry;

use std::sync::Arc;
use std::time::{Duration, Instant};

use longwave_pipeline::component::{ComponentError, Processor, ProcessorContext};
use longwave_pipeline::model::{Batch, ConnectionRecord, PassEnd, UnixNanos};

use crate::connection_map::{NO_INDEX, STRIDE};
use held::{HeldRecords, Offered, push_batches};
pub(crate) use resolver::{BatchContext, ConnectionState, ResolvedNames, Resolver, Waiting};

/// Number of passes without a record after which a connection is removed, because its close was probably dropped.
const SILENT_PASSES: u16 = 256;
/// Number of passes between two searches for silent connections, which visit all connections.
const SWEEP_EVERY: u16 = 64;

/// A processor that names records.
pub struct Holding<R> {
    pub(crate) resolver: R,
    held: HeldRecords,
    /// Number of passes of the receiver so far, modulo 65,536.
    pass: u16,
    /// The index of each record's connection, while a batch is processed.
    indices: Vec<u32>,
}

// === impl Holding ===

#[expect(private_bounds, reason = "only this crate implements resolvers")]
impl<R: Resolver> Holding<R> {
    /// Creates a processor without connections. `hold` is how long records may wait; zero means that none does.
    pub(crate) fn with_resolver(resolver: R, context: &ProcessorContext, hold: Duration) -> Self {
        Self { resolver, held: HeldRecords::new(context, hold), pass: 0, indices: Vec::new() }
    }

    fn records(&mut self, mut records: Arc<Vec<ConnectionRecord>>, now: Instant, out: &mut Vec<Batch>) {
        let mut changed = self.resolver.refresh(now);
        let batch = self.resolve(&mut records, now);
        changed |= self.resolver.take_changes();
        if changed && !self.held.is_empty() {
            self.release_settled(now, out);
        }
        if self.held.is_on() && (batch.may_wait || !self.held.is_empty()) {
            records = self.hold_back(records, out);
            if records.is_empty() {
                return;
            }
        }
        if batch.has_names {
            self.name(&mut records);
        }
        if batch.has_ends {
            for (record, index) in
                records.iter().zip(&self.indices).filter(|(record, _)| record.event.is_end())
            {
                self.resolver.end(*index, record);
            }
        }
        out.push(Batch::Records(records));
    }

    /// Resolves the connections of all records, and writes their indices into `indices`.
    fn resolve(&mut self, records: &mut Arc<Vec<ConnectionRecord>>, now: Instant) -> BatchContext {
        let mut batch =
            BatchContext { now, pass: self.pass, has_names: false, may_wait: false, has_ends: false };
        self.indices.clear();
        if R::NAMES_EARLY
            && let Some(own) = Arc::get_mut(records)
        {
            for stride in own.chunks_mut(STRIDE) {
                self.resolve_stride(stride, &mut batch);
                let indices = &self.indices[self.indices.len() - stride.len()..];
                for (record, index) in stride.iter_mut().zip(indices) {
                    self.resolver.names(*index).write(record);
                }
            }
            batch.has_names = false;
        } else {
            records.chunks(STRIDE).for_each(|stride| self.resolve_stride(stride, &mut batch));
        }
        batch
    }

    #[inline]
    fn resolve_stride(&mut self, stride: &[ConnectionRecord], batch: &mut BatchContext) {
        let found = self.resolver.connections_mut().look_up(stride);
        for (record, index) in stride.iter().zip(found) {
            let index = self.resolver.connections().confirm(index, record.id);
            self.indices.push(self.resolver.resolve(index, record, batch));
            batch.has_ends |= record.event.is_end();
        }
    }

    /// Takes those records out of a batch that have to wait for a name, or for earlier records of their connection.
    fn hold_back(
        &mut self,
        records: Arc<Vec<ConnectionRecord>>,
        out: &mut Vec<Batch>,
    ) -> Arc<Vec<ConnectionRecord>> {
        let waits = |resolver: &R, index: u32, record: &ConnectionRecord| {
            let is_held = |connection: &R::Connection| connection.waiting() == Waiting::Held;
            resolver.connections().get(index).is_some_and(is_held) || resolver.waits(index, record)
        };
        if !records.iter().zip(&self.indices).any(|(record, index)| waits(&self.resolver, *index, record)) {
            return records;
        }
        let indices = std::mem::take(&mut self.indices);
        let mut passing = Vec::with_capacity(records.len());
        let mut displaced = Vec::new();
        for (record, index) in records.iter().zip(indices) {
            let waits = waits(&self.resolver, index, record);
            if waits && self.held.push(record, &mut displaced) == Offered::Waits {
                self.set_waiting(index, Waiting::Held);
            } else {
                if waits && !R::REFUSED_MAY_WAIT {
                    self.set_waiting(index, Waiting::Over);
                }
                passing.push(record.clone());
                self.indices.push(index);
            }
            if !displaced.is_empty() {
                self.pass_on(std::mem::take(&mut displaced), Waiting::Over, out);
            }
        }
        Arc::new(passing)
    }

    /// Names the records of a batch. A shared batch is copied only if there is a name to write.
    fn name(&self, records: &mut Arc<Vec<ConnectionRecord>>) {
        let names = |index: &u32| self.resolver.names(*index);
        if records.iter().zip(&self.indices).any(|(record, index)| names(index).are_missing_in(record)) {
            for (record, index) in Arc::make_mut(records).iter_mut().zip(&self.indices) {
                names(index).write(record);
            }
        }
    }

    /// Releases the connections whose names are known by now.
    fn release_settled(&mut self, now: Instant, out: &mut Vec<Batch>) {
        // The names of a connection may settle those of one that was checked before it: the other end.
        for _ in 0..2 {
            let Self { resolver, held, .. } = self;
            let mut released = Vec::new();
            held.release(&mut released, |record| {
                let Some(index) = resolver.connections().find(record.id) else { return true };
                resolver.resolve_again(index, record, now);
                !resolver.waits(index, record)
            });
            self.pass_on(released, Waiting::No, out);
            if !self.resolver.take_changes() || self.held.is_empty() {
                break;
            }
        }
    }

    /// Names records that have waited, and passes them on. Stores `waiting` as the state of their connections.
    fn pass_on(&mut self, mut records: Vec<ConnectionRecord>, waiting: Waiting, out: &mut Vec<Batch>) {
        for record in &mut records {
            let index = self.resolver.connections().find(record.id).unwrap_or(NO_INDEX);
            self.set_waiting(index, waiting);
            self.resolver.names(index).write(record);
            if record.event.is_end() {
                self.resolver.end(index, record);
            }
        }
        push_batches(records, out);
    }

    fn set_waiting(&mut self, index: u32, waiting: Waiting) {
        if let Some(connection) = self.resolver.connections_mut().get_mut(index) {
            connection.set_waiting(waiting);
        }
    }

    fn pass_end(&mut self, pass_end: PassEnd, now: Instant, out: &mut Vec<Batch>) {
        if !self.held.is_empty() {
            if pass_end.last {
                self.resolver.await_results();
            }
            self.release_held((!pass_end.last).then_some(pass_end.tick), now, out);
        }
        self.pass = self.pass.wrapping_add(1);
        if self.pass.is_multiple_of(SWEEP_EVERY) {
            let pass = self.pass;
            let silent = self.resolver.connections().open_where(|connection| {
                connection.waiting() != Waiting::Held
                    && pass.wrapping_sub(connection.last_pass()) >= SILENT_PASSES
            });
            self.resolver.forget(&silent);
        }
        self.resolver.report();
        self.held.passed(pass_end.tick);
        out.push(Batch::PassEnd(pass_end));
    }

    /// Releases the connections that are settled or have waited long enough at the watermark `tick`. Without a watermark, releases all.
    fn release_held(&mut self, tick: Option<UnixNanos>, now: Instant, out: &mut Vec<Batch>) {
        self.resolver.refresh(now);
        self.release_settled(now, out);
        let mut overdue = Vec::new();
        match tick {
            Some(tick) => self.held.release_overdue(tick, &mut overdue),
            None => self.held.release_all(&mut overdue),
        }
        self.pass_on(overdue, Waiting::Over, out);
    }
}

impl<R: Resolver + Send + 'static> Processor for Holding<R> {
    fn process(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        match batch {
            Batch::Records(records) => self.records(records, Instant::now(), out),
            Batch::PassEnd(pass_end) => self.pass_end(pass_end, Instant::now(), out),
            window @ Batch::Window(_) => out.push(window),
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        self.release_held(None, Instant::now(), out);
        self.resolver.report();
        Ok(())
    }
}
