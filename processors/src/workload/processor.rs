//! [`WorkloadProcessor`], and the [`WorkloadResolver`] that finds its names.

use std::convert::Infallible;
use std::path::Path;
use std::time::Instant;

use longwave_pipeline::component::cgroup::{CgroupPaths, Mount};
use longwave_pipeline::component::host::{BootId, HostAddresses};
use longwave_pipeline::component::{ComponentError, ProcessorContext};
use longwave_pipeline::model::ConnectionRecord;

use super::cgroup::Cgroups;
use super::config::{CGROUP, PROCESS, WorkloadConfig};
use super::ends::Ends;
use super::ends::end::End;
use super::sources::{Source, Sources};
use crate::connection_map::ConnectionMap;
use crate::conntrack::{Conntrack, Translator};
use crate::holding::{BatchContext, Holding, ResolvedNames, Resolver};

/// Names the two ends of each connection.
pub type WorkloadProcessor = Holding<WorkloadResolver>;

/// Finds the workloads of connections' ends.
pub struct WorkloadResolver {
    pub(super) ends: Ends,
    sources: Sources,
}

// === impl WorkloadProcessor ===

impl WorkloadProcessor {
    /// Creates the processor for this host, and reads its cgroups if a source needs them.
    ///
    /// # Errors
    /// `cgroup` is a source, and the host has no cgroup2 file system. A source does not resolve names.
    pub fn of_this_host(config: &WorkloadConfig, context: &ProcessorContext) -> Result<Self, ComponentError> {
        let proc = Path::new("/proc");
        let mount = Mount::of_this_host();
        if mount.is_none() && config.uses_cgroups() {
            return Err(ComponentError::new(format!(
                "processors::{}: sources: \"cgroup\" needs a cgroup2 file system, and /proc/self/mountinfo has none: mount it (on a host: \
                 mount -t cgroup2 none /sys/fs/cgroup/unified; in a container: give it the host's /sys/fs/cgroup), or write sources: \
                 [process] to name workloads by their processes",
                context.id
            )));
        }
        if mount.is_none() && config.uses_extensions() {
            tracing::warn!(
                "processors::{}: no cgroup2 file system in /proc/self/mountinfo: connections are named by their addresses only, which \
                 do not distinguish pods of the host's network; in a container, mount the host's /sys/fs/cgroup",
                context.id
            );
        }
        let translator = config.uses_conntrack().then(|| Conntrack::shared(context));
        let translator = translator.map(|conntrack| Box::new(conntrack) as Box<dyn Translator>);
        Self::with(config, context, mount, proc, translator)
    }

    /// Creates the processor with the cgroups below `mount`, if a source needs them. `proc` is `/proc`, or a test's substitute.
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
        let mount = mount.filter(|_| config.uses_cgroups() || config.uses_extensions());
        let Ok(reported) = context.shared.get_or_make(|| Ok::<_, Infallible>(CgroupPaths::default()));
        let cgroups = mount.map(|mount| Cgroups::read(mount, proc.to_owned(), reported));
        let boot = BootId::read(proc).ok().map(BootId::short);
        let host = context.shared.get_or_make(|| Ok::<_, Infallible>(HostAddresses::new(proc)));
        let Ok(host) = host;
        let sources = Sources::new(list, cgroups, boot, translator, host);
        let resolver = WorkloadResolver { ends: Ends::default(), sources };
        Ok(Self::with_resolver(resolver, context, config.hold.get()))
    }
}

// === impl WorkloadResolver ===

impl Resolver for WorkloadResolver {
    type Connection = End;

    const NAMES_EARLY: bool = false;
    const REFUSED_MAY_WAIT: bool = true;

    #[inline]
    fn connections(&self) -> &ConnectionMap<End> {
        &self.ends.ends
    }

    #[inline]
    fn connections_mut(&mut self) -> &mut ConnectionMap<End> {
        &mut self.ends.ends
    }

    fn refresh(&mut self, now: Instant) -> bool {
        let new_address = self.ends.take_new_address();
        if new_address {
            self.sources.touch();
        }
        self.sources.refresh(now) || new_address
    }

    #[inline]
    fn resolve(&mut self, index: Option<u32>, record: &ConnectionRecord, batch: &mut BatchContext) -> u32 {
        self.ends.resolve(index, record, &mut self.sources, batch)
    }

    fn resolve_again(&mut self, index: u32, record: &ConnectionRecord, now: Instant) {
        self.ends.resolve_again(index, record, &mut self.sources, now);
    }

    fn take_changes(&mut self) -> bool {
        self.ends.take_held_changed()
    }

    fn waits(&self, index: u32, record: &ConnectionRecord) -> bool {
        self.ends.waits(index, record, &self.sources)
    }

    #[inline]
    fn names(&self, index: u32) -> ResolvedNames<'_> {
        self.ends.names(index)
    }

    fn end(&mut self, index: u32, record: &ConnectionRecord) {
        self.ends.end(index, record.id, &self.sources);
    }

    fn forget(&mut self, silent: &[u32]) {
        self.ends.forget(silent, &self.sources);
    }

    fn await_results(&self) {
        self.sources.await_results();
    }
}
