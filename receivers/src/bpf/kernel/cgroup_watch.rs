//! [`CgroupWatch`]: creations and removals of cgroups, as the kernel reports them.

use std::sync::Arc;
use std::time::Instant;

use aya::Ebpf;
use aya::maps::{HashMap, MapData};
use aya::programs::{ProgramError, RawTracePoint};
use longwave_ebpf_abi::{CgroupEvent, LAYOUT_VERSION, Offsets, kind, offsets::ABSENT};
use longwave_pipeline::component::cgroup::{CgroupPaths, Mount};
use longwave_pipeline::component::with_causes;
use zerocopy::FromBytes;

use super::cgroup_scope::{CgroupScope, ScopeMap};
use super::diagnosis::{explain, root_cause};
use super::ring::Ring;
use super::steps::{Step, Steps};
use super::{Diagnosis, Options};

/// Names of the programs, with their tracepoints.
const WATCHERS: [(&str, &str); 2] = [("cgroup_created", "cgroup_mkdir"), ("cgroup_removed", "cgroup_rmdir")];

/// Size of the ring of events in bytes, as in the object.
const RING_BYTES: u32 = 256 << 10;

/// The running programs, and what their events change.
pub struct CgroupWatch<M = HashMap<MapData, u64, u32>> {
    /// `None` if the kernel refused the programs.
    events: Option<Ring>,
    /// Where paths are reported to.
    paths: Option<Arc<CgroupPaths>>,
    /// `None` if the sockets of all cgroups are reported.
    scope: Option<CgroupScope<M>>,
    /// Number of lost events at the last pass.
    lost: u64,
    malformed: u64,
}

/// An event, parsed.
enum Event<'a> {
    /// The path is empty if it is too long.
    Created(u64, &'a [u8]),
    Removed(u64),
}

// === impl CgroupWatch ===

impl CgroupWatch {
    /// Loads and attaches the programs, and fills the scope with the cgroups that exist. Adds the outcomes to `steps`. Returns `None` if
    /// the scope is not possible. `ebpf` keeps the programs attached.
    pub fn attach(ebpf: &mut Ebpf, options: &Options, offsets: &Offsets, steps: &mut Steps) -> Option<Self> {
        let mut scope = None;
        if options.cgroup.is_some() {
            scope = steps.need(Step::Settings, new_scope(ebpf, options))?;
        }
        let events = attach_programs(ebpf, offsets, steps);
        let mut watch = Self { events, paths: None, scope, lost: 0, malformed: 0 };
        if let Some(scope) = &mut watch.scope {
            scope.rescan(Instant::now());
        }
        Some(watch)
    }
}

impl<M: ScopeMap> CgroupWatch<M> {
    /// Reports the paths of new cgroups to `paths` from now on, those since the attachment included.
    pub fn report_to(&mut self, paths: Arc<CgroupPaths>) {
        self.paths = Some(paths);
        self.drain();
    }

    /// Returns whether the kernel reports new cgroups.
    pub fn has_events(&self) -> bool {
        self.events.is_some()
    }

    /// Returns the scope.
    pub fn scope(&self) -> Option<&CgroupScope<M>> {
        self.scope.as_ref()
    }

    /// Returns whether the events of sockets of a cgroup are to be reported. Call [`Self::drain`] after those events were read, and before.
    pub fn includes(&self, cgroup: u64) -> bool {
        self.scope.as_ref().is_none_or(|scope| scope.includes(cgroup))
    }

    /// Returns the number of events that could not be parsed.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Returns the number of cgroups that a scan found and for which the scope had no room.
    pub fn refused(&self) -> u64 {
        self.scope.as_ref().map_or(0, CgroupScope::refused)
    }

    /// Handles the creations and removals so far.
    pub fn drain(&mut self) {
        let Some(mut events) = self.events.take() else { return };
        events.drain(&mut |record| self.handle(record, Instant::now()));
        self.events = Some(events);
    }

    /// Evicts cgroups that were removed long ago, and lets the scope decide on all cgroups again if events are missing. `lost` is the
    /// number of events that the kernel side could not report.
    pub fn begin_pass(&mut self, lost: u64) {
        self.drain();
        self.begin_pass_at(lost, self.has_events(), Instant::now());
    }

    fn begin_pass_at(&mut self, lost: u64, has_events: bool, now: Instant) {
        if let Some(paths) = &self.paths {
            paths.forget_expired(now);
        }
        let has_lost = std::mem::replace(&mut self.lost, lost) != lost;
        if let Some(scope) = &mut self.scope {
            if has_lost {
                scope.missed(now);
            }
            scope.begin_pass(has_events, now);
        }
    }

    fn handle(&mut self, record: &[u8], now: Instant) {
        let mut scope = self.scope.as_mut().filter(|scope| scope.can_follow_events());
        match Event::parse(record) {
            Some(Event::Created(_, [])) => {
                if let Some(scope) = &mut scope {
                    scope.missed(now);
                }
            }
            Some(Event::Created(id, path)) => {
                let path = String::from_utf8_lossy(path);
                if let Some(scope) = &mut scope {
                    scope.created(id, &path, now);
                }
                if let Some(paths) = &self.paths {
                    paths.created(id, &path);
                }
            }
            Some(Event::Removed(id)) => {
                if let Some(scope) = &mut scope {
                    scope.removed(id, now);
                }
                if let Some(paths) = &self.paths {
                    paths.removed(id, now);
                }
            }
            None => self.malformed += 1,
        }
    }
}

// === impl Event ===

impl<'a> Event<'a> {
    /// Parses a record. Returns `None` if its size, version or kind is unknown.
    fn parse(record: &'a [u8]) -> Option<Self> {
        let (event, path) = CgroupEvent::read_from_prefix(record).ok()?;
        if event.version != LAYOUT_VERSION || event.path_len as usize != path.len() {
            return None;
        }
        match event.kind {
            kind::CGROUP_CREATED => Some(Self::Created(event.id, path)),
            kind::CGROUP_REMOVED => Some(Self::Removed(event.id)),
            _ => None,
        }
    }
}

fn new_scope(ebpf: &mut Ebpf, options: &Options) -> Result<Option<CgroupScope>, Diagnosis> {
    let Some(pattern) = &options.cgroup else { return Ok(None) };
    let mount = Mount::of_this_host().ok_or_else(|| Diagnosis::Cgroup { pattern: pattern.to_string() })?;
    const NAME: &str = "cgroup_scope";
    let ids = ebpf.take_map(NAME).and_then(|map| map.try_into().ok());
    let ids = ids.ok_or_else(|| Diagnosis::missing_map(NAME))?;
    Ok(Some(CgroupScope::new(pattern, mount, ids)))
}

/// Attaches both programs, or none. Returns the ring of their events.
fn attach_programs(ebpf: &mut Ebpf, offsets: &Offsets, steps: &mut Steps) -> Option<Ring> {
    let [(created, on_created), (removed, on_removed)] = WATCHERS;
    let attached = attach_program(ebpf, created, on_created, offsets)
        .and_then(|()| Ring::of(ebpf, "cgroup_events", RING_BYTES));
    let ring = steps.want(Step::Attach(created), attached)?;
    let attached = attach_program(ebpf, removed, on_removed, offsets);
    if steps.want(Step::Attach(removed), attached).is_none() {
        // Its events would fill the ring.
        let _ = watcher(ebpf, created).map(RawTracePoint::unload);
        return None;
    }
    Some(ring)
}

fn watcher<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut RawTracePoint, ProgramError> {
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

fn attach_program(
    ebpf: &mut Ebpf,
    name: &'static str,
    tracepoint: &str,
    offsets: &Offsets,
) -> Result<(), Diagnosis> {
    let needed = [
        ("cgroup.root", offsets.cgroup_root),
        ("cgroup_root.hierarchy_id", offsets.hierarchy_id),
        ("cgroup.kn", offsets.cgroup_kn),
        ("kernfs_node.id", offsets.kn_id),
    ];
    if let Some((field, _)) = needed.iter().find(|(_, offset)| *offset == ABSENT) {
        return Err(Diagnosis::Btf { reason: format!("has no field `{field}`") });
    }
    let mut attach = || {
        let program: &mut RawTracePoint =
            ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()?;
        program.load()?;
        program.attach(tracepoint).map(drop)
    };
    attach().map_err(|error| explain(format!("attaching `{name}`"), root_cause(&error), with_causes(&error)))
}

#[cfg(test)]
mod tests;
