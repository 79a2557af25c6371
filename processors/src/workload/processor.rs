//! [`WorkloadProcessor`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use longwave_pipeline::component::{Processor, ProcessorContext};
use longwave_pipeline::record::ConnectionId;
use longwave_pipeline::{Batch, ComponentError, ConnectionRecord};

use super::cgroup::{Cgroups, mount};
use super::config::WorkloadConfig;
use super::ends::{Ends, STRIDE};
use super::names::Names;

/// The processor.
pub struct WorkloadProcessor {
    pub(super) ends: Ends,
    names: Names,
    /// Absent where they are not asked.
    cgroups: Option<Cgroups>,
    /// Each record's connection, while a batch is processed.
    indices: Vec<u32>,
}

// === impl WorkloadProcessor ===

impl WorkloadProcessor {
    /// Reads this host's cgroups, if they are asked.
    ///
    /// # Errors
    /// They are asked, and the host has none: every name would be less than what was configured.
    pub fn of_this_host(config: &WorkloadConfig, context: &ProcessorContext) -> Result<Self, ComponentError> {
        let proc = Path::new("/proc");
        if !config.asks_cgroups() {
            return Ok(Self::new(None, proc));
        }
        let mountinfo = std::fs::read_to_string(proc.join("self/mountinfo")).unwrap_or_default();
        let mount = mount::find(&mountinfo).ok_or_else(|| {
            ComponentError::new(format!(
                "processors::{}: sources: \"cgroup\" needs a cgroup2 file system, and /proc/self/mountinfo has none: mount it (on a host: \
                 mount -t cgroup2 none /sys/fs/cgroup/unified; in a container: give it the host's /sys/fs/cgroup), or write sources: \
                 [process] to name workloads by their processes",
                context.id
            ))
        })?;
        Ok(Self::new(Some(mount), proc))
    }

    /// With the cgroups below `mount`, if there is one, and what `proc` (`/proc`) tells of processes and of the boot.
    pub fn new(mount: Option<PathBuf>, proc: &Path) -> Self {
        let boot_id = std::fs::read_to_string(proc.join("sys/kernel/random/boot_id")).unwrap_or_default();
        Self {
            ends: Ends::new(ConnectionId::boot_of(&boot_id)),
            names: Names::new(),
            cgroups: mount.map(|mount| Cgroups::read(mount, proc.to_owned())),
            indices: Vec::new(),
        }
    }

    /// Names the ends of one batch's connections. All are learned before the first is named, so that two ends in one batch find each other
    /// whatever their order.
    fn name(&mut self, records: &mut Arc<Vec<ConnectionRecord>>, now: Instant) {
        if let Some(cgroups) = &mut self.cgroups {
            cgroups.work(now);
        }
        let Self { ends, names, cgroups, indices } = self;
        indices.clear();
        for records in records.chunks(STRIDE) {
            let hashes = ends.look_up(records);
            let known = records
                .iter()
                .zip(hashes)
                .map(|(record, hash)| ends.learn(record, hash, cgroups, names, now));
            indices.extend(known);
        }
        let unnamed = |record: &ConnectionRecord, index: u32| {
            let (local, peer) = ends.names(index);
            (record.names.local.is_none() && local.is_some())
                || (record.names.peer.is_none() && peer.is_some())
        };
        // A batch that others read too is copied only if there is something to write.
        if records.iter().zip(indices.iter()).any(|(record, index)| unnamed(record, *index)) {
            for (record, index) in Arc::make_mut(records).iter_mut().zip(indices.iter()) {
                let (local, peer) = ends.names(*index);
                if record.names.local.is_none() {
                    record.names.local = local.cloned();
                }
                if record.names.peer.is_none() {
                    record.names.peer = peer.cloned();
                }
            }
        }
        for (record, index) in records.iter().zip(indices.iter()).filter(|(record, _)| record.event.is_end())
        {
            ends.end(*index, record.id);
        }
    }
}

impl Processor for WorkloadProcessor {
    fn process(&mut self, mut batch: Batch, out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        match &mut batch {
            Batch::Records(records) => self.name(records, Instant::now()),
            Batch::PassEnd(_) => self.ends.pass_end(),
            Batch::Window(_) => {}
        }
        out.push(batch);
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        Ok(())
    }
}
