//! [`Sources`]: the sources of names, in order of precedence.

use std::sync::Arc;
use std::time::Instant;

use longwave_pipeline::component::host::HostAddresses;
use longwave_pipeline::component::{Answer, CgroupName, Directory};
use longwave_pipeline::model::{ConnectionRecord, Endpoint, Handle, Role, UnixNanos, Workload};

use super::cgroup::{Cgroup, CgroupResult, Cgroups, ROOT, path};
use super::found::Found;
use super::names::Names;
use crate::conntrack::Translator;

/// One source.
pub(super) enum Source {
    /// The cgroup's path. The executable's name for sockets of the root cgroup, of a single launch ([`Cgroup::is_launch`]), and of a
    /// cgroup that was removed before its path was read.
    Cgroup,
    /// The executable's name.
    Process,
    /// An extension.
    Directory(Arc<dyn Directory>),
}

/// All sources.
pub(super) struct Sources {
    list: Vec<Source>,
    /// `None` if no source needs them.
    cgroups: Option<Cgroups>,
    names: Names,
    /// [`ConnectionId::boot`] of this boot of this host; `None` if unknown. Cgroup ids and pids of other boots (in a replayed file) have no
    /// meaning here.
    boot: Option<u32>,
    translator: Option<Box<dyn Translator>>,
    /// Addresses of this host.
    host: Arc<HostAddresses>,
    resolves_addresses: bool,
    /// The versions of the sources, in their order, and of the cgroups, at the last refresh.
    versions: Vec<u64>,
    /// Increases when one of `versions` has changed; never 0.
    version: u32,
    translator_version: u64,
    /// Sum of [`Directory::renames`] at the last refresh. Each of them only increases.
    renames: u32,
}

// === impl Sources ===

impl Sources {
    /// Creates the sources without a refresh. `boot` is [`ConnectionId::boot`] of this host's own records; `None` if unknown.
    pub fn new(
        list: Vec<Source>,
        cgroups: Option<Cgroups>,
        boot: Option<u32>,
        translator: Option<Box<dyn Translator>>,
        host: Arc<HostAddresses>,
    ) -> Self {
        let versions = vec![0; list.len() + 1];
        let resolves_addresses =
            translator.is_some() || list.iter().any(|source| matches!(source, Source::Directory(_)));
        Self {
            list,
            cgroups,
            names: Names::default(),
            boot,
            translator,
            host,
            resolves_addresses,
            versions,
            version: 1,
            translator_version: 0,
            renames: 0,
        }
    }

    /// Checks the sources for changes, once per batch. Returns true if there are any: pending names may be known now.
    pub fn refresh(&mut self, now: Instant) -> bool {
        let cgroups = self.cgroups.as_mut().map_or(0, |cgroups| {
            cgroups.work(now);
            cgroups.version().into()
        });
        let own = self.list.iter().map(|source| match source {
            Source::Directory(directory) => directory.version(),
            Source::Cgroup | Source::Process => 0,
        });
        let mut changed = false;
        for (known, version) in self.versions.iter_mut().zip(own.chain([cgroups])) {
            changed |= *known != version;
            *known = version;
        }
        if changed {
            self.renames =
                self.directories().fold(0, |sum, (_, directory)| directory.renames().wrapping_add(sum))
                    as u32;
            self.touch();
        }
        if let Some(translator) = &self.translator {
            let version = translator.version();
            changed |= self.translator_version != version;
            self.translator_version = version;
        }
        changed
    }

    /// Returns a number that increases when an answer may have changed.
    #[inline]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Returns a number that changes when a workload may have another name than an earlier look-up returned.
    #[inline]
    pub fn renames(&self) -> u32 {
        self.renames
    }

    /// Increases the version. Called when an answer may have changed.
    pub fn touch(&mut self) {
        self.version = self.version.wrapping_add(1).max(1);
    }

    /// Resolves the record's local end: by the name in the record, otherwise by `cgroup` (its owner's; 0 if unknown), otherwise by its
    /// address and process. `at` is a time at which the address was in use.
    pub fn local(&mut self, record: &ConnectionRecord, cgroup: u64, at: UnixNanos, now: Instant) -> Found {
        if let Some(name) = &record.names.local {
            return Found::settled(name.clone());
        }
        let Self { list, cgroups, names, version, .. } = self;
        let is_ours = record.id.boot == 0 || self.boot.is_none_or(|boot| boot == record.id.boot);
        let mut is_pending = false;
        let result = match cgroups.as_mut().filter(|_| is_ours) {
            Some(cgroups) if matches!(cgroup, 0 | ROOT) => {
                cgroups.find_by_process(&record.owner, now).map(CgroupResult::Found)
            }
            Some(cgroups) => Some(cgroups.find(cgroup, record.owner.pid, now)),
            None => None,
        };
        match result {
            Some(CgroupResult::Found(cgroup)) => {
                // A pending answer is settled by the time of the record, too.
                if cgroup.version != *version || cgroup.found.is_pending() {
                    cgroup.resolve(list, names, record.observed);
                    cgroup.version = *version;
                }
                let mut found = cgroup.found.clone();
                add_process(list, names, record, cgroup.is_launch, &mut found);
                return found;
            }
            Some(CgroupResult::Pending) => is_pending = true,
            // The cgroup was removed before its path was read: what is left is the address and the process.
            Some(CgroupResult::Missing) | None => {}
        }
        // A client's port does not identify it.
        let port = if record.role == Role::Client { 0 } else { record.local.port };
        let end = Endpoint { port, ..record.local };
        let mut found = Found::default();
        for (rank, source) in list.iter().enumerate() {
            let answer = match source {
                Source::Directory(_) | Source::Cgroup if is_pending => Answer::Pending,
                Source::Directory(directory) => directory.workload_of_address(end, at),
                Source::Cgroup | Source::Process => process(names, record),
            };
            found.add(rank, answer);
            if found.name.is_some() {
                break;
            }
        }
        found
    }

    /// Resolves the workload that had an address at time `at`.
    pub fn address(&self, end: Endpoint, at: UnixNanos) -> Found {
        let mut found = Found::default();
        for (rank, directory) in self.directories() {
            found.add(rank, directory.workload_of_address(end, at));
            if found.name.is_some() {
                break;
            }
        }
        found
    }

    /// Returns true if peers can be resolved by their addresses.
    pub fn resolves_addresses(&self) -> bool {
        self.resolves_addresses
    }

    /// Returns true if the connection may be translated: the peer's address is one of those that directories name, or the peer is a node port at
    /// any address of this host.
    pub fn is_translated(&self, record: &ConnectionRecord) -> bool {
        let Endpoint { address, port } = record.peer;
        let is_node_port = || self.directories().any(|(_, directory)| directory.is_node_port(port));
        self.translator.is_some()
            && (self.directories().any(|(_, directory)| directory.is_translated(address))
                || (record.role != Role::Server && is_node_port() && self.host.has(address, record.id)))
    }

    /// Returns true if the peer's address is one of this host's, so that it may stand for a masqueraded client.
    pub fn is_masquerade(&self, record: &ConnectionRecord) -> bool {
        !record.peer.address.is_loopback() && self.host.has(record.peer.address, record.id)
    }

    /// Waits for a short time for pending translations.
    pub fn await_results(&self) {
        if let Some(translator) = &self.translator {
            translator.await_results();
        }
    }

    /// Returns the translator, if connection tracking is queried.
    pub fn translator(&self) -> Option<&dyn Translator> {
        self.translator.as_deref()
    }

    fn directories(&self) -> impl Iterator<Item = (usize, &Arc<dyn Directory>)> {
        self.list.iter().enumerate().filter_map(|(rank, source)| match source {
            Source::Directory(directory) => Some((rank, directory)),
            Source::Cgroup | Source::Process => None,
        })
    }
}

/// Adds the name of the process at the rank of source `process`, if it is in the list, and for a cgroup of a single launch at the rank of
/// source `cgroup`, whose name it replaces.
fn add_process(
    list: &[Source],
    names: &mut Names,
    record: &ConnectionRecord,
    is_launch: bool,
    found: &mut Found,
) {
    let names_process = |source: &Source| match source {
        Source::Process => true,
        Source::Cgroup => is_launch,
        Source::Directory(_) => false,
    };
    let Some(rank) = list.iter().position(names_process) else { return };
    if usize::from(found.rank) >= rank {
        found.replace(rank, process(names, record));
    }
}

fn process(names: &mut Names, record: &ConnectionRecord) -> Answer<Handle<Workload>> {
    names.of_process(&record.owner).map_or(Answer::Unknown, Answer::Known)
}

// === impl Cgroup ===

impl Cgroup {
    /// Resolves the cgroup's name with the sources that look up cgroups.
    fn resolve(&mut self, list: &[Source], names: &Names, at: UnixNanos) {
        let path::Ids { container_id, pod_uid } = path::ids(&self.path);
        let name = CgroupName { path: &self.path, container_id, pod_uid: &pod_uid };
        let mut found = Found::default();
        for (rank, source) in list.iter().enumerate() {
            let answer = match source {
                Source::Directory(directory) => directory.workload_of_cgroup(&name, at),
                // A cgroup's path does not change, so its name is not parsed again.
                Source::Cgroup if usize::from(self.found.rank) == rank => {
                    self.found.name.clone().map_or(Answer::Unknown, Answer::Known)
                }
                Source::Cgroup => match path::classify(&self.path) {
                    Some(named) => Answer::Known(names.of_cgroup(&named)),
                    None => Answer::Unknown,
                },
                Source::Process => Answer::Unknown,
            };
            found.add(rank, answer);
            if found.name.is_some() {
                break;
            }
        }
        self.found.update(found);
    }
}
