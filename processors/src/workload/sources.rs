//! [`Sources`]: who is asked for names, in order of precedence.

use std::sync::Arc;
use std::time::Instant;

use longwave_pipeline::component::{Answer, CgroupName, Directory};
use longwave_pipeline::model::{ConnectionId, ConnectionRecord, Endpoint, Handle, Role, UnixNanos, Workload};

use super::cgroup::{Cgroup, Cgroups, ROOT, Whereabouts, path};
use super::found::Found;
use super::names::Names;
use crate::conntrack::{Conntrack, Translated};

/// One source.
pub(super) enum Source {
    /// What a cgroup's path says; of the root cgroup's sockets the process.
    Cgroup,
    /// The executable's name.
    Process,
    /// An extension.
    Directory(Arc<dyn Directory>),
}

/// What knows of translated connections.
pub(super) trait Translator: Send {
    /// What is known of the record's connection.
    fn ask(&self, record: &ConnectionRecord) -> Translated;
    /// Moves when pending answers have come.
    fn version(&self) -> u64;
    /// Waits a moment for the pending answers.
    fn await_answers(&self);
    /// The connection has ended.
    fn forget(&self, id: ConnectionId);
}

/// All sources.
pub(super) struct Sources {
    list: Vec<Source>,
    /// Absent where nobody asks by them.
    cgroups: Option<Cgroups>,
    names: Names,
    /// This boot of this host: cgroup ids and pids of another (in a replayed file) mean something else here.
    boot: Option<u32>,
    translator: Option<Box<dyn Translator>>,
    know_addresses: bool,
    /// What the sources said of their versions, in their order, and the cgroups'.
    versions: Vec<u64>,
    /// Moves when one of those has; never 0.
    version: u32,
    translator_version: u64,
}

// === impl Sources ===

impl Sources {
    /// These sources. `boot`: [`ConnectionId::boot`] of this host's own records; `None` if it is not known.
    pub fn new(
        list: Vec<Source>,
        cgroups: Option<Cgroups>,
        boot: Option<u32>,
        translator: Option<Box<dyn Translator>>,
    ) -> Self {
        let versions = vec![0; list.len() + 1];
        let know_addresses =
            translator.is_some() || list.iter().any(|source| matches!(source, Source::Directory(_)));
        Self {
            list,
            cgroups,
            names: Names::new(),
            boot,
            translator,
            know_addresses,
            versions,
            version: 1,
            translator_version: 0,
        }
    }

    /// Looks for news, once per batch. True if there are some: what was pending may be known now.
    pub fn refresh(&mut self, now: Instant) -> bool {
        let cgroups = self.cgroups.as_mut().map_or(0, |cgroups| {
            cgroups.work(now);
            cgroups.version().into()
        });
        let own = self.list.iter().map(|source| match source {
            Source::Directory(directory) => directory.version(),
            Source::Cgroup | Source::Process => 0,
        });
        let mut moved = false;
        for (known, version) in self.versions.iter_mut().zip(own.chain([cgroups])) {
            moved |= *known != version;
            *known = version;
        }
        if moved {
            self.touch();
        }
        if let Some(translator) = &self.translator {
            let version = translator.version();
            moved |= self.translator_version != version;
            self.translator_version = version;
        }
        moved
    }

    /// Moves when an answer may have changed.
    #[inline]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// An answer may have changed.
    pub fn touch(&mut self) {
        self.version = self.version.wrapping_add(1).max(1);
    }

    /// Who the record's own end is: what the record brings along, else by `cgroup` (its owner's, 0: not known), else (where that tells
    /// nothing) by its address and process. `at`: when its address was in use.
    pub fn local(&mut self, record: &ConnectionRecord, cgroup: u64, at: UnixNanos, now: Instant) -> Found {
        if let Some(brought) = &record.names.local {
            return Found::settled(brought.clone());
        }
        let Self { list, cgroups, names, version, .. } = self;
        let is_ours = record.id.boot == 0 || self.boot.is_none_or(|boot| boot == record.id.boot);
        let (mut sought, mut missing) = (false, false);
        let place = match cgroups.as_mut().filter(|_| is_ours) {
            Some(cgroups) if matches!(cgroup, 0 | ROOT) => {
                cgroups.find_by_process(&record.owner, now).map(Whereabouts::At)
            }
            Some(cgroups) => Some(cgroups.find(cgroup, record.owner.pid, now)),
            None => None,
        };
        match place {
            Some(Whereabouts::At(cgroup)) => {
                if cgroup.asked != *version {
                    cgroup.ask(list, names, record.observed);
                    cgroup.asked = *version;
                }
                let mut found = cgroup.found.clone();
                add_process(list, names, record, &mut found);
                return found;
            }
            Some(Whereabouts::Sought) => sought = true,
            Some(Whereabouts::Missing) => missing = true,
            None => {}
        }
        // A client's port says nothing of who it is.
        let port = if record.role == Role::Client { 0 } else { record.local.port };
        let end = Endpoint { port, ..record.local };
        let mut found = Found::default();
        for (rank, source) in list.iter().enumerate() {
            let answer = match source {
                Source::Directory(_) | Source::Cgroup if sought => Answer::Pending,
                Source::Directory(directory) => directory.workload_of_address(end, at),
                Source::Cgroup if missing => Answer::Unknown,
                Source::Cgroup | Source::Process => process(names, record),
            };
            found.add(rank, answer);
            if found.name.is_some() {
                break;
            }
        }
        found
    }

    /// Who had an address.
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

    /// Someone can say something of a peer that is not on this node, or not by its own address.
    pub fn know_addresses(&self) -> bool {
        self.know_addresses
    }

    /// Connections to or from the address may be translated.
    pub fn is_translated(&self, end: Endpoint) -> bool {
        self.translator.is_some()
            && self.directories().any(|(_, directory)| directory.is_translated(end.address))
    }

    /// Waits a moment for translations that were asked for.
    pub fn await_answers(&self) {
        if let Some(translator) = &self.translator {
            translator.await_answers();
        }
    }

    /// Who is asked for translations.
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

/// What source `process` says, where it is one.
fn add_process(list: &[Source], names: &mut Names, record: &ConnectionRecord, found: &mut Found) {
    let Some(rank) = list.iter().position(|source| matches!(source, Source::Process)) else { return };
    if usize::from(found.rank) > rank {
        found.add(rank, process(names, record));
    }
}

fn process(names: &mut Names, record: &ConnectionRecord) -> Answer<Handle<Workload>> {
    names.of_process(&record.owner).map_or(Answer::Unknown, Answer::Known)
}

// === impl Cgroup ===

impl Cgroup {
    /// Asks those sources that go by cgroups.
    fn ask(&mut self, list: &[Source], names: &Names, at: UnixNanos) {
        let path::Ids { container_id, pod_uid } = path::ids(&self.path);
        let name = CgroupName { path: &self.path, container_id, pod_uid: &pod_uid };
        let mut found = Found::default();
        for (rank, source) in list.iter().enumerate() {
            let answer = match source {
                Source::Directory(directory) => directory.workload_of_cgroup(&name, at),
                // A path does not change.
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
        // What was known stays known: a directory forgets, the cgroup is what it was.
        if found.name.is_some() && found.rank <= self.found.rank || self.found.name.is_none() {
            self.found = found;
        }
    }
}

impl Translator for Arc<Conntrack> {
    fn ask(&self, record: &ConnectionRecord) -> Translated {
        Conntrack::ask(self, record)
    }

    fn version(&self) -> u64 {
        Conntrack::version(self)
    }

    fn await_answers(&self) {
        Conntrack::await_answers(self);
    }

    fn forget(&self, id: ConnectionId) {
        Conntrack::forget(self, id);
    }
}
