//! [`ServiceProcessor`].

use std::sync::Arc;

use longwave_pipeline::component::{ComponentError, Processor, ProcessorContext};
use longwave_pipeline::model::{Batch, ConnectionRecord, PassEnd};

use super::config::ServiceConfig;
use super::connections::Connections;
use super::lookup::Lookup;
use super::telemetry::{Tally, Telemetry};
use crate::conntrack::Conntrack;
use crate::hold::{Hold, Offered, push_batches};
use crate::known::{NOBODY, STRIDE};

/// The processor.
pub struct ServiceProcessor {
    lookup: Lookup,
    pub(super) connections: Connections,
    hold: Hold,
    telemetry: Telemetry,
    pub(super) tally: Tally,
    /// Each record's connection, while a batch is processed.
    indices: Vec<u32>,
}

// === impl ServiceProcessor ===

impl ServiceProcessor {
    /// # Errors
    /// A source is no extension that names anybody.
    pub fn new(config: &ServiceConfig, context: &ProcessorContext) -> Result<Self, ComponentError> {
        let sources = config.sources.iter().map(|id| {
            context
                .directories
                .get(id)
                .map_err(|error| ComponentError::new(format!("processors::{}: sources: {error}", context.id)))
        });
        let conntrack = config.conntrack.then(|| Conntrack::shared(context));
        Ok(Self {
            lookup: Lookup { sources: sources.collect::<Result<_, _>>()?, conntrack },
            connections: Connections::default(),
            hold: Hold::new(context, config.hold.get()),
            telemetry: Telemetry::new(context),
            tally: Tally::default(),
            indices: Vec::new(),
        })
    }

    fn name(&mut self, mut records: Arc<Vec<ConnectionRecord>>, out: &mut Vec<Batch>) {
        let version = self.lookup.version();
        let mut waited = Vec::new();
        self.release(version, &mut waited);
        push_batches(waited, out);
        let may_wait = self.hold.is_on();
        let waits = may_wait && !self.hold.is_empty();
        // Shared batches are copied only if there is something to write.
        let is_settled = match Arc::get_mut(&mut records) {
            Some(own) if !waits => self.name_own(own, version, may_wait),
            _ => self.learn(&records, version, waits, may_wait),
        };
        if !is_settled {
            return self.sort_out(&records, out);
        }
        let Self { connections, indices, .. } = self;
        let unnamed = |record: &ConnectionRecord, index: u32| {
            record.names.service.is_none() && connections.found(index).service.is_some()
        };
        if records.iter().zip(indices.iter()).any(|(record, index)| unnamed(record, *index)) {
            for (record, index) in Arc::make_mut(&mut records).iter_mut().zip(indices.iter()) {
                if record.names.service.is_none() {
                    record.names.service = connections.found(*index).service.cloned();
                }
            }
        }
        if !indices.is_empty() {
            records.iter().filter(|record| record.event.is_end()).for_each(|record| self.end(record));
        }
        out.push(Batch::Records(records));
    }

    /// Names records that nobody else reads, a few at a time while they are near. Leaves no indices. False: some have to wait, and the
    /// indices of all are there.
    fn name_own(&mut self, records: &mut [ConnectionRecord], version: u32, may_wait: bool) -> bool {
        self.indices.clear();
        let mut ends = false;
        for stride in records.chunks_mut(STRIDE) {
            let found = self.connections.look_up(stride);
            for (record, index) in stride.iter_mut().zip(found) {
                if record.names.service.is_some() {
                    continue;
                }
                let index = self.connections.learn(record, index, version, &self.lookup, &mut self.tally);
                let known = self.connections.found(index);
                if may_wait && known.is_pending {
                    return self.learn(records, version, true, may_wait);
                }
                record.names.service = known.service.cloned();
            }
            ends |= stride.iter().any(|record| record.event.is_end());
        }
        if ends {
            records.iter().filter(|record| record.event.is_end()).for_each(|record| self.end(record));
        }
        true
    }

    /// Finds the connections of all records, and notes their indices. False: records wait, or have to.
    fn learn(&mut self, records: &[ConnectionRecord], version: u32, waits: bool, may_wait: bool) -> bool {
        let Self { lookup, connections, tally, indices, .. } = self;
        indices.clear();
        let mut pending = false;
        for records in records.chunks(STRIDE) {
            let found = connections.look_up(records);
            for (record, index) in records.iter().zip(found) {
                if record.names.service.is_some() {
                    // It brings its service along.
                    indices.push(NOBODY);
                    continue;
                }
                let index = connections.learn(record, index, version, lookup, tally);
                pending |= connections.found(index).is_pending;
                indices.push(index);
            }
        }
        !(waits || may_wait && pending)
    }

    /// Some of the records wait for their connection's service, or for earlier records of their connection that do.
    fn sort_out(&mut self, records: &[ConnectionRecord], out: &mut Vec<Batch>) {
        let mut passing = Vec::with_capacity(records.len());
        let indices = std::mem::take(&mut self.indices);
        for (record, index) in records.iter().zip(&indices) {
            let is_pending = record.names.service.is_none() && self.connections.found(*index).is_pending;
            if is_pending || self.hold.holds(record.id) {
                let mut displaced = Vec::new();
                let offered = self.hold.push(record, &mut displaced);
                displaced.iter_mut().for_each(|record| self.leave(record));
                passing.append(&mut displaced);
                if offered == Offered::Waits {
                    continue;
                }
            }
            let mut record = record.clone();
            self.leave(&mut record);
            passing.push(record);
        }
        self.indices = indices;
        push_batches(passing, out);
    }

    /// Lets those records go whose service is known by now.
    fn release(&mut self, version: u32, out: &mut Vec<ConnectionRecord>) {
        if self.hold.is_empty() {
            return;
        }
        let Self { lookup, connections, hold, tally, .. } = self;
        hold.release(out, |record| connections.is_settled(record, version, lookup, tally));
        out.iter_mut().for_each(|record| self.leave(record));
    }

    /// A record goes on that may have waited, with the name that is known by now.
    fn leave(&mut self, record: &mut ConnectionRecord) {
        if let Some(index) = self.connections.index(record.id) {
            if record.names.service.is_none() {
                record.names.service = self.connections.found(index).service.cloned();
            }
            // It does not wait again.
            self.connections.give_up(index);
        }
        if record.event.is_end() {
            self.end(record);
        }
    }

    fn end(&mut self, record: &ConnectionRecord) {
        self.connections.end(record.id, &mut self.tally);
        self.lookup.forget(record.id, record.role);
    }

    fn pass_end(&mut self, pass: PassEnd, out: &mut Vec<Batch>) {
        if pass.last && !self.hold.is_empty() {
            self.lookup.await_answers();
        }
        let mut leaving = Vec::new();
        self.release(self.lookup.version(), &mut leaving);
        let mut overdue = Vec::new();
        if pass.last {
            self.hold.release_all(&mut overdue);
        } else {
            self.hold.release_overdue(pass.tick, &mut overdue);
        }
        overdue.iter_mut().for_each(|record| self.leave(record));
        leaving.append(&mut overdue);
        push_batches(leaving, out);
        out.push(Batch::PassEnd(pass));
        self.hold.passed(pass.tick);
        self.connections.pass_end();
        self.telemetry.report(&mut self.tally);
    }
}

impl Processor for ServiceProcessor {
    fn process(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        match batch {
            Batch::Records(records) => self.name(records, out),
            Batch::PassEnd(pass) => self.pass_end(pass, out),
            Batch::Window(_) => out.push(batch),
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        let mut leaving = Vec::new();
        self.release(self.lookup.version(), &mut leaving);
        let mut rest = Vec::new();
        self.hold.release_all(&mut rest);
        rest.iter_mut().for_each(|record| self.leave(record));
        leaving.append(&mut rest);
        push_batches(leaving, out);
        self.telemetry.report(&mut self.tally);
        Ok(())
    }
}
