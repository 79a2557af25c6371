//! From a cgroup's id to its path: the id is the inode of the cgroup's directory in the cgroup2 file system.
//!
//! All directories are read once at the start. An id that is not among them is looked for where the process says that it is
//! (`/proc/<pid>/cgroup`), else by reading the directories again: at most one such scan a second, a few milliseconds of it per batch.
//! An id that a whole scan did not find is unknown for a minute. A removed cgroup keeps its path for a while, for late records.
//!
//! Where version 1 is mounted beside version 2, containers may be in version 1 only, and their sockets in version 2's root: then the process
//! says in which container it is.

pub mod mount;
pub mod path;
mod scan;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use longwave_pipeline::model::Owner;

use super::found::Found;
use mount::Mount;
use scan::Scan;

/// The root cgroup's id, on every kernel.
pub const ROOT: u64 = 1;

/// Between the starts of two scans.
const SCAN_EVERY: Duration = Duration::from_secs(1);
/// Of one batch's time.
const SCAN_SLICE: Duration = Duration::from_millis(5);
/// How long an id that no scan found is not looked for again.
const MISSING_FOR: Duration = Duration::from_secs(60);
/// Ids looked for in one scan.
const MAX_WANTED: usize = 4096;
/// Processes whose containers are remembered, and for how long: their pids are used again.
const MAX_PROCESSES: usize = 4096;
const PROCESS_FOR: Duration = Duration::from_secs(1);
/// Scans after which a removed cgroup that nobody asked for is forgotten.
const KEPT_SCANS: u32 = 16;

/// The cgroups of this host.
pub(super) struct Cgroups {
    mount: Mount,
    /// Where processes are.
    proc: PathBuf,
    known: HashMap<u64, Entry, foldhash::fast::RandomState>,
    by_process: HashMap<u32, Process, foldhash::fast::RandomState>,
    /// What the scan that runs, and the next, are for.
    wanted: Vec<u64>,
    looking_for: Vec<u64>,
    scan: Option<Scan>,
    scan_started: Option<Instant>,
    scans: u32,
    /// Counts changes: who was told [`Whereabouts::Sought`] asks again when it has moved.
    version: u32,
}

/// One cgroup, and what the sources last said of it.
pub(super) struct Cgroup {
    /// Below the mount.
    pub path: Box<str>,
    /// What they said.
    pub found: Found,
    /// Their version then; 0: never asked.
    pub asked: u32,
}

/// A process of which the socket's cgroup told nothing.
struct Process {
    read: Instant,
    container: Option<Cgroup>,
}

struct Entry {
    place: Place,
    /// Number of the last scan that saw it or that it was asked for after.
    fresh: u32,
}

enum Place {
    At(Cgroup),
    Missing { until: Instant },
}

/// What is known of a cgroup's place.
pub(super) enum Whereabouts<'a> {
    /// Its path.
    At(&'a mut Cgroup),
    /// Nothing yet: the next scan may find it.
    Sought,
    /// It is nowhere.
    Missing,
}

// === impl Cgroups ===

impl Cgroups {
    /// Reads all cgroups below `mount`.
    pub fn read(mount: Mount, proc: PathBuf) -> Self {
        let mut cgroups = Self {
            scan: Some(Scan::of(&mount.point)),
            mount,
            proc,
            known: HashMap::default(),
            by_process: HashMap::default(),
            wanted: Vec::new(),
            looking_for: Vec::new(),
            scan_started: None,
            scans: 0,
            version: 0,
        };
        cgroups.advance(None, Instant::now());
        cgroups
    }

    /// Moves when an answer may have changed.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Where cgroup `id` is. `pid` (0: none) is a process that was seen in it.
    pub fn find(&mut self, id: u64, pid: u32, now: Instant) -> Whereabouts<'_> {
        let scans = self.scans;
        // Twice looked up where it is found: the borrow checker cannot tell that the borrow ends otherwise.
        let known = match self.known.get_mut(&id) {
            Some(Entry { place: Place::At(_), .. }) => true,
            Some(Entry { place: Place::Missing { until }, fresh }) if now < *until => {
                *fresh = scans;
                return Whereabouts::Missing;
            }
            _ => false,
        };
        if !known {
            if self.is_sought(id) {
                return Whereabouts::Sought;
            }
            let Some(path) = self.path_of_process(id, pid) else { return self.want(id) };
            self.known.insert(id, Entry { place: Place::At(Cgroup::new(&path)), fresh: scans });
        }
        match self.known.get_mut(&id) {
            Some(Entry { place: Place::At(cgroup), fresh }) => {
                *fresh = scans;
                Whereabouts::At(cgroup)
            }
            _ => Whereabouts::Missing,
        }
    }

    /// The container of the socket's process, where the socket's cgroup is the root or not known.
    pub fn find_by_process(&mut self, owner: &Owner, now: Instant) -> Option<&mut Cgroup> {
        if owner.pid == 0 || !(self.mount.beside_v1 || owner.cgroup == 0) {
            return None;
        }
        let is_fresh = |process: &Process| now.saturating_duration_since(process.read) < PROCESS_FOR;
        if !self.by_process.get(&owner.pid).is_some_and(is_fresh) {
            let container = self.container_of_process(owner.pid).map(|path| Cgroup::new(&path));
            if self.by_process.len() >= MAX_PROCESSES {
                self.by_process.clear();
            }
            self.by_process.insert(owner.pid, Process { read: now, container });
        }
        self.by_process.get_mut(&owner.pid)?.container.as_mut()
    }

    /// Gets on with a scan, or starts one if ids are wanted and it is time to.
    pub fn work(&mut self, now: Instant) {
        let due =
            self.scan_started.is_none_or(|started| now.saturating_duration_since(started) >= SCAN_EVERY);
        if self.scan.is_none() && !self.wanted.is_empty() && due {
            self.scan = Some(Scan::of(&self.mount.point));
            self.scan_started = Some(now);
            self.looking_for = std::mem::take(&mut self.wanted);
        }
        if self.scan.is_some() {
            self.advance(Some(SCAN_SLICE), now);
        }
    }

    /// Cgroups remembered.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    fn want(&mut self, id: u64) -> Whereabouts<'_> {
        if self.wanted.len() >= MAX_WANTED {
            return Whereabouts::Missing;
        }
        self.wanted.push(id);
        Whereabouts::Sought
    }

    /// A scan that runs or is due looks for it.
    fn is_sought(&self, id: u64) -> bool {
        self.wanted.contains(&id) || self.looking_for.contains(&id)
    }

    fn advance(&mut self, slice: Option<Duration>, now: Instant) {
        let Some(scan) = &mut self.scan else { return };
        let (known, next) = (&mut self.known, self.scans.wrapping_add(1));
        let done = scan.advance(slice, |id, path| {
            let entry =
                known.entry(id).or_insert_with(|| Entry { place: Place::At(Cgroup::new(path)), fresh: next });
            entry.fresh = next;
            if matches!(entry.place, Place::Missing { .. }) {
                entry.place = Place::At(Cgroup::new(path));
            }
        });
        if !done {
            return;
        }
        self.scan = None;
        self.scans = next;
        self.version = self.version.wrapping_add(1);
        for id in self.looking_for.drain(..) {
            let missing = || Place::Missing { until: now + MISSING_FOR };
            let entry = known.entry(id).or_insert_with(|| Entry { place: missing(), fresh: next });
            if matches!(entry.place, Place::Missing { .. }) {
                entry.place = missing();
            }
        }
        self.known.retain(|_, entry| next.wrapping_sub(entry.fresh) < KEPT_SCANS);
    }

    /// The first of a process's cgroups, of any version, that is a container's.
    fn container_of_process(&self, pid: u32) -> Option<String> {
        let text = std::fs::read_to_string(self.proc.join(pid.to_string()).join("cgroup")).ok()?;
        // number:controllers:path
        let mut paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
        paths.find(|path| path::is_in_container(path)).map(str::to_owned)
    }

    /// Where the process is, if that is the cgroup asked for: a pid may have been taken by another process.
    fn path_of_process(&self, id: u64, pid: u32) -> Option<String> {
        if pid == 0 {
            return None;
        }
        let text = std::fs::read_to_string(self.proc.join(pid.to_string()).join("cgroup")).ok()?;
        let path = self.mount.below(text.lines().find_map(|line| line.strip_prefix("0::"))?)?;
        let directory = std::fs::metadata(self.mount.point.join(path.trim_start_matches('/'))).ok()?;
        (directory.ino() == id).then(|| path.to_owned())
    }
}

// === impl Cgroup ===

impl Cgroup {
    fn new(path: &str) -> Self {
        Self { path: path.into(), found: Found::default(), asked: 0 }
    }
}
