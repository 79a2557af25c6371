//! [`WorkloadProcessor`].

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use longwave_pipeline::component::host::BootId;
use longwave_pipeline::component::{ComponentError, Processor, ProcessorContext};
use longwave_pipeline::model::{Batch, ConnectionRecord, PassEnd};

use super::cgroup::Cgroups;
use super::cgroup::mount::{self, Mount};
use super::config::{CGROUP, PROCESS, WorkloadConfig};
use super::ends::{Ends, Seen};
use super::sources::{Source, Sources, Translator};
use crate::conntrack::Conntrack;
use crate::hold::{Hold, Offered, push_batches};
use crate::known::STRIDE;

/// The processor.
pub struct WorkloadProcessor {
    pub(super) ends: Ends,
    sources: Sources,
    hold: Hold,
    /// Each record's connection, while a batch is processed.
    indices: Vec<u32>,
}

// === impl WorkloadProcessor ===

impl WorkloadProcessor {
    /// Reads this host's cgroups, if they are asked.
    ///
    /// # Errors
    /// They are asked, and the host has none: every name would be less than what was configured. A source names nobody.
    pub fn of_this_host(config: &WorkloadConfig, context: &ProcessorContext) -> Result<Self, ComponentError> {
        let proc = Path::new("/proc");
        let mountinfo = std::fs::read_to_string(proc.join("self/mountinfo")).unwrap_or_default();
        let mount = mount::find(&mountinfo);
        if mount.is_none() && config.asks_cgroups() {
            return Err(ComponentError::new(format!(
                "processors::{}: sources: \"cgroup\" needs a cgroup2 file system, and /proc/self/mountinfo has none: mount it (on a host: \
                 mount -t cgroup2 none /sys/fs/cgroup/unified; in a container: give it the host's /sys/fs/cgroup), or write sources: \
                 [process] to name workloads by their processes",
                context.id
            )));
        }
        if mount.is_none() && config.asks_extensions() {
            tracing::warn!(
                "processors::{}: no cgroup2 file system in /proc/self/mountinfo: connections are named by their addresses only, which \
                 cannot tell pods of the host's network; in a container, give it the host's /sys/fs/cgroup",
                context.id
            );
        }
        let translator = config.asks_conntrack().then(|| Conntrack::shared(context));
        let translator = translator.map(|conntrack| Box::new(conntrack) as Box<dyn Translator>);
        Self::with(config, context, mount, proc, translator)
    }

    /// With the cgroups below `mount`, if there is one and they are needed, and what `proc` (`/proc`) tells of processes and of the boot.
    pub(super) fn with(
        config: &WorkloadConfig,
        context: &ProcessorContext,
        mount: Option<Mount>,
        proc: &Path,
        translator: Option<Box<dyn Translator>>,
    ) -> Result<Self, ComponentError> {
        let source = |name: &String| {
            Ok(match name.as_str() {
                CGROUP => Source::Cgroup,
                PROCESS => Source::Process,
                id => Source::Directory(context.directories.get(id).map_err(|error| {
                    ComponentError::new(format!("processors::{}: sources: {error}", context.id))
                })?),
            })
        };
        let list = config.sources.iter().map(source).collect::<Result<Vec<_>, ComponentError>>()?;
        let mount = mount.filter(|_| config.asks_cgroups() || config.asks_extensions());
        let cgroups = mount.map(|mount| Cgroups::read(mount, proc.to_owned()));
        let boot = BootId::read(proc).ok().map(BootId::short);
        Ok(Self {
            ends: Ends::new(),
            sources: Sources::new(list, cgroups, boot, translator),
            hold: Hold::new(context, config.hold.get()),
            indices: Vec::new(),
        })
    }

    fn records(&mut self, mut records: Arc<Vec<ConnectionRecord>>, now: Instant, out: &mut Vec<Batch>) {
        let moved = self.refresh(now);
        let seen = self.learn(&records, now);
        let news = self.ends.take_news();
        if !self.hold.is_empty() && (moved || news) {
            self.release_settled(now, out);
        }
        if self.hold.is_on() && (seen.pending || !self.hold.is_empty()) {
            records = self.hold_back(records, out);
            if records.is_empty() {
                return;
            }
        }
        if seen.names {
            self.name(&mut records);
        }
        if seen.ends {
            for (record, index) in
                records.iter().zip(&self.indices).filter(|(record, _)| record.event.is_end())
            {
                self.ends.end(*index, record.id, &self.sources);
            }
        }
        out.push(Batch::Records(records));
    }

    fn pass_end(&mut self, pass_end: PassEnd, now: Instant, out: &mut Vec<Batch>) {
        if !self.hold.is_empty() {
            if pass_end.last {
                self.sources.await_answers();
            }
            self.refresh(now);
            self.release_settled(now, out);
            let mut overdue = Vec::new();
            if pass_end.last {
                self.hold.release_all(&mut overdue);
            } else {
                self.hold.release_overdue(pass_end.tick, &mut overdue);
            }
            self.pass_on(overdue, true, out);
        }
        self.ends.pass_end(&self.sources);
        self.hold.passed(pass_end.tick);
        out.push(Batch::PassEnd(pass_end));
    }

    /// Looks for news. True if there are some.
    fn refresh(&mut self, now: Instant) -> bool {
        let new_address = self.ends.take_new_address();
        if new_address {
            self.sources.touch();
        }
        self.sources.refresh(now) || new_address
    }

    /// Learns who the ends of a batch's connections are. All are learned before the first is named, so that two ends in one batch find
    /// each other whatever their order.
    fn learn(&mut self, records: &[ConnectionRecord], now: Instant) -> Seen {
        let Self { ends, sources, indices, .. } = self;
        let mut seen = Seen::default();
        indices.clear();
        for records in records.chunks(STRIDE) {
            let found = ends.look_up(records);
            for (record, index) in records.iter().zip(found) {
                indices.push(ends.learn(record, index, sources, now, &mut seen));
            }
        }
        seen
    }

    /// Takes out of a batch what has to wait, or belongs behind what waits.
    fn hold_back(
        &mut self,
        records: Arc<Vec<ConnectionRecord>>,
        out: &mut Vec<Batch>,
    ) -> Arc<Vec<ConnectionRecord>> {
        let waits = |(record, index): (&ConnectionRecord, &u32)| {
            self.ends.is_held(*index) || self.ends.waits(*index, record)
        };
        if !records.iter().zip(&self.indices).any(waits) {
            return records;
        }
        let indices = std::mem::take(&mut self.indices);
        let mut passing = Vec::with_capacity(records.len());
        let mut made_room = Vec::new();
        for (record, index) in records.iter().zip(&indices) {
            let waits = self.ends.is_held(*index) || self.ends.waits(*index, record);
            if waits && self.hold.push(record, &mut made_room) == Offered::Waits {
                self.ends.hold(*index);
            } else {
                passing.push(record.clone());
                self.indices.push(*index);
            }
            if !made_room.is_empty() {
                self.pass_on(std::mem::take(&mut made_room), true, out);
            }
        }
        Arc::new(passing)
    }

    /// Lets those go whose answers have come.
    fn release_settled(&mut self, now: Instant, out: &mut Vec<Batch>) {
        let Self { hold, ends, sources, .. } = self;
        let mut released = Vec::new();
        hold.release(&mut released, |record| ends.is_settled(record, sources, now));
        self.pass_on(released, false, out);
    }

    /// Names records that have waited, and passes them on. `in_vain`: what they waited for has not come.
    fn pass_on(&mut self, mut records: Vec<ConnectionRecord>, in_vain: bool, out: &mut Vec<Batch>) {
        for record in &mut records {
            let Some(index) = self.ends.index_of(record.id) else { continue };
            self.ends.release(index, in_vain);
            write_names(&self.ends, index, record);
            if record.event.is_end() {
                self.ends.end(index, record.id, &self.sources);
            }
        }
        push_batches(records, out);
    }

    /// Names the records of a batch. One that others read too is copied only if there is something to write.
    fn name(&mut self, records: &mut Arc<Vec<ConnectionRecord>>) {
        let Self { ends, indices, .. } = self;
        let is_unnamed = |(record, index): (&ConnectionRecord, &u32)| {
            let (local, peer) = ends.names(*index);
            (record.names.local.is_none() && local.is_some())
                || (record.names.peer.is_none() && peer.is_some())
        };
        if records.iter().zip(indices.iter()).any(is_unnamed) {
            for (record, index) in Arc::make_mut(records).iter_mut().zip(indices.iter()) {
                write_names(ends, *index, record);
            }
        }
    }
}

fn write_names(ends: &Ends, index: u32, record: &mut ConnectionRecord) {
    let (local, peer) = ends.names(index);
    if record.names.local.is_none() {
        record.names.local = local.cloned();
    }
    if record.names.peer.is_none() {
        record.names.peer = peer.cloned();
    }
}

impl Processor for WorkloadProcessor {
    fn process(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        match batch {
            Batch::Records(records) => self.records(records, Instant::now(), out),
            Batch::PassEnd(pass_end) => self.pass_end(pass_end, Instant::now(), out),
            window @ Batch::Window(_) => out.push(window),
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        let mut left = Vec::new();
        self.hold.release_all(&mut left);
        self.pass_on(left, true, out);
        Ok(())
    }
}
