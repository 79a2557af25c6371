//! [`Cgroups`]: finds a cgroup's path by its id, which is the inode of the cgroup's directory in the cgroup2 file system.
//!
//! All directories are read once at the start. A receiver reports the paths of cgroups that are created later, before the first record of
//! them ([`CgroupPaths`]). For an id that is not among them, the process's `/proc/<pid>/cgroup` is read. If this does not give the path,
//! the directories are scanned again. At most one scan starts per second, and it takes a few milliseconds per batch. An id that a whole
//! scan did not find is missing for a minute. The path of a removed cgroup is kept for a while, for late records.
//!
//! If version 1 is mounted in addition to version 2, containers may be in cgroups of version 1 only, and their sockets in version 2's root.
//! Then the container is read from the process's cgroups.

pub mod path;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use longwave_pipeline::component::cgroup::{CgroupPaths, Mount, Scan};
use longwave_pipeline::model::Owner;

use super::found::Found;

pub use longwave_pipeline::component::cgroup::ROOT;

/// Minimum time between the starts of two scans.
const SCAN_EVERY: Duration = Duration::from_secs(1);
/// Time that a scan takes per batch.
const SCAN_SLICE: Duration = Duration::from_millis(5);
/// How long an id that a scan did not find is missing before it is searched again.
const MISSING_FOR: Duration = Duration::from_secs(60);
/// Maximum number of ids that one scan searches.
const MAX_WANTED: usize = 4096;
/// Maximum number of processes whose containers are cached.
const MAX_PROCESSES: usize = 4096;
/// How long the container of a process is cached. Short, because pids are reused.
const PROCESS_FOR: Duration = Duration::from_secs(1);
/// Number of scans after which a removed cgroup is evicted if it was not looked up.
const KEPT_SCANS: u32 = 16;
/// Minimum number of cached cgroups at which a scan evicts removed ones.
const MIN_SWEEP: usize = 1024;

/// The cgroups of this host.
pub(super) struct Cgroups {
    mount: Mount,
    /// `/proc`, or a test's substitute.
    proc: PathBuf,
    by_id: HashMap<u64, CgroupEntry, foldhash::fast::RandomState>,
    by_process: HashMap<u32, CachedProcess, foldhash::fast::RandomState>,
    /// Paths of cgroups that a receiver reported.
    reported: Arc<CgroupPaths>,
    /// Number of cached cgroups at which the next scan starts even if no id is wanted. Reported cgroups need no scan, and would stay
    /// cached.
    sweep_at: usize,
    /// Ids that the next scan searches.
    wanted: Vec<u64>,
    /// Ids that the running scan searches.
    searched: Vec<u64>,
    scan: Option<Scan>,
    scan_started: Option<Instant>,
    scans: u32,
    /// Number of finished scans. When it changes, a look-up that returned [`CgroupResult::Pending`] may have a result.
    version: u32,
}

/// One cgroup, and the cached result of the sources.
pub(super) struct Cgroup {
    /// Relative to the mount, beginning with `/`.
    pub path: Box<str>,
    /// See [`path::is_launch`].
    pub is_launch: bool,
    pub found: Found,
    /// The sources' version at the last look-up; 0 before the first.
    pub version: u32,
}

/// The container of a process, read from its cgroups because the socket's cgroup does not identify it.
struct CachedProcess {
    /// Time of the read.
    read: Instant,
    /// `None` if the process is in no container.
    container: Option<Cgroup>,
}

struct CgroupEntry {
    state: CgroupState,
    /// Number of the last scan that found the cgroup, or of the last scan before its last look-up if that is later.
    last_scan: u32,
}

enum CgroupState {
    Found(Cgroup),
    Missing { until: Instant },
}

/// Result of a look-up.
pub(super) enum CgroupResult<'a> {
    /// The cgroup is known.
    Found(&'a mut Cgroup),
    /// The running scan or the next one may find the cgroup.
    Pending,
    /// The last scan did not find the cgroup, or there is no room to search it.
    Missing,
}

// === impl Cgroups ===

impl Cgroups {
    /// Reads all cgroups below `mount`. `reported` are the paths of those that are created later.
    pub fn read(mount: Mount, proc: PathBuf, reported: Arc<CgroupPaths>) -> Self {
        let mut cgroups = Self {
            scan: Some(Scan::of(&mount.point)),
            mount,
            proc,
            by_id: HashMap::default(),
            by_process: HashMap::default(),
            reported,
            sweep_at: MIN_SWEEP,
            wanted: Vec::new(),
            searched: Vec::new(),
            scan_started: None,
            scans: 0,
            version: 0,
        };
        cgroups.advance(None, Instant::now());
        cgroups
    }

    /// Returns a number that increases when a result may have changed.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Looks up cgroup `id`. `pid` is a process that was observed in it; 0 if none is known.
    pub fn find(&mut self, id: u64, pid: u32, now: Instant) -> CgroupResult<'_> {
        let scans = self.scans;
        // A known cgroup is looked up twice, because the borrow checker rejects the early return of a borrow.
        let is_known = match self.by_id.get_mut(&id) {
            Some(CgroupEntry { state: CgroupState::Found(_), .. }) => true,
            Some(CgroupEntry { state: CgroupState::Missing { until }, last_scan }) if now < *until => {
                *last_scan = scans;
                return CgroupResult::Missing;
            }
            _ => false,
        };
        if !is_known {
            let is_sought = self.wanted.contains(&id) || self.searched.contains(&id);
            let path = match self.reported_path(id) {
                Some(path) => path,
                None if is_sought => return CgroupResult::Pending,
                None => match self.path_of_process(id, pid) {
                    Some(path) => path.into(),
                    None => return self.want(id),
                },
            };
            let state = CgroupState::Found(Cgroup::new(&path));
            self.by_id.insert(id, CgroupEntry { state, last_scan: scans });
        }
        match self.by_id.get_mut(&id) {
            Some(CgroupEntry { state: CgroupState::Found(cgroup), last_scan }) => {
                *last_scan = scans;
                CgroupResult::Found(cgroup)
            }
            _ => CgroupResult::Missing,
        }
    }

    /// Returns the container of the socket's process. Called if the socket's cgroup is the root or unknown.
    pub fn find_by_process(&mut self, owner: &Owner, now: Instant) -> Option<&mut Cgroup> {
        if owner.pid == 0 || !(self.mount.beside_v1 || owner.cgroup == 0) {
            return None;
        }
        let is_fresh = |process: &CachedProcess| now.saturating_duration_since(process.read) < PROCESS_FOR;
        if !self.by_process.get(&owner.pid).is_some_and(is_fresh) {
            let container = self.container_of_process(owner.pid).map(|path| Cgroup::new(&path));
            if self.by_process.len() >= MAX_PROCESSES {
                self.by_process.clear();
            }
            self.by_process.insert(owner.pid, CachedProcess { read: now, container });
        }
        self.by_process.get_mut(&owner.pid)?.container.as_mut()
    }

    /// Continues the running scan, or starts one if ids are wanted and [`SCAN_EVERY`] has passed.
    pub fn work(&mut self, now: Instant) {
        let due =
            self.scan_started.is_none_or(|started| now.saturating_duration_since(started) >= SCAN_EVERY);
        if self.scan.is_none() && due && (!self.wanted.is_empty() || self.by_id.len() >= self.sweep_at) {
            self.scan = Some(Scan::of(&self.mount.point));
            self.scan_started = Some(now);
            self.searched = std::mem::take(&mut self.wanted);
        }
        if self.scan.is_some() {
            self.advance(Some(SCAN_SLICE), now);
        }
    }

    /// Returns the number of cached cgroups and missing ids.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    fn want(&mut self, id: u64) -> CgroupResult<'_> {
        if self.wanted.len() >= MAX_WANTED {
            return CgroupResult::Missing;
        }
        self.wanted.push(id);
        CgroupResult::Pending
    }

    fn advance(&mut self, slice: Option<Duration>, now: Instant) {
        let Some(scan) = &mut self.scan else { return };
        let (by_id, next) = (&mut self.by_id, self.scans.wrapping_add(1));
        let done = scan.advance(slice, |id, path| {
            let found = || CgroupState::Found(Cgroup::new(path));
            let entry = by_id.entry(id).or_insert_with(|| CgroupEntry { state: found(), last_scan: next });
            entry.last_scan = next;
            if matches!(entry.state, CgroupState::Missing { .. }) {
                entry.state = found();
            }
        });
        if !done {
            return;
        }
        self.scan = None;
        self.scans = next;
        self.version = self.version.wrapping_add(1);
        for id in self.searched.drain(..) {
            let missing = || CgroupState::Missing { until: now + MISSING_FOR };
            let entry = by_id.entry(id).or_insert_with(|| CgroupEntry { state: missing(), last_scan: next });
            if matches!(entry.state, CgroupState::Missing { .. }) {
                entry.state = missing();
            }
        }
        let kept_scans = if by_id.len() >= self.sweep_at { 1 } else { KEPT_SCANS };
        by_id.retain(|_, entry| next.wrapping_sub(entry.last_scan) < kept_scans);
        self.sweep_at = (2 * by_id.len()).max(MIN_SWEEP);
    }

    /// Returns the path of a cgroup that a receiver reported. The kernel's paths are those of a mount of the whole tree only.
    fn reported_path(&self, id: u64) -> Option<Arc<str>> {
        if self.mount.is_whole { self.reported.path(id) } else { None }
    }

    /// Returns the path of the first of a process's cgroups, of any version, that is in a container.
    fn container_of_process(&self, pid: u32) -> Option<String> {
        let text = self.cgroups_of_process(pid)?;
        // number:controllers:path
        let text = String::from_utf8_lossy(&text);
        let mut paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
        paths.find(|path| path::is_in_container(path)).map(str::to_owned)
    }

    /// Returns the path of a process's cgroup if its id is `id`. The id differs if the pid was reused by another process.
    fn path_of_process(&self, id: u64, pid: u32) -> Option<String> {
        if pid == 0 {
            return None;
        }
        let text = self.cgroups_of_process(pid)?;
        let path = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
        let path = self.mount.below(path)?;
        let mut directory = self.mount.point.clone().into_os_string();
        directory.push(OsStr::from_bytes(path));
        let directory = std::fs::metadata(directory).ok()?;
        (directory.ino() == id).then(|| String::from_utf8_lossy(path).into_owned())
    }

    /// Returns the content of `/proc/<pid>/cgroup`, whose paths need not be UTF-8.
    fn cgroups_of_process(&self, pid: u32) -> Option<Vec<u8>> {
        std::fs::read(self.proc.join(pid.to_string()).join("cgroup")).ok()
    }
}

// === impl Cgroup ===

impl Cgroup {
    fn new(path: &str) -> Self {
        Self { path: path.into(), is_launch: path::is_launch(path), found: Found::default(), version: 0 }
    }
}
