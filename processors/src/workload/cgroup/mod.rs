//! From a cgroup's id to a name: the id is the inode of the cgroup's directory in the cgroup2 file system.
//!
//! All directories are read once at the start. An id that is not among them is looked for where the process says that it is
//! (`/proc/<pid>/cgroup`), else by reading the directories again: at most one such scan a second, a few milliseconds of it per batch.
//! An id that a whole scan did not find is unknown for a minute. A removed cgroup keeps its name for a while, for late records.

pub mod mount;
pub mod path;
mod scan;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use longwave_pipeline::{Handle, Workload};

use super::names::Names;
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
const MOST_WANTED: usize = 4096;
/// Scans after which the name of a removed cgroup that nobody asked for is forgotten.
const KEPT_SCANS: u32 = 16;

/// The cgroups of this host.
pub(super) struct Cgroups {
    /// Where cgroup2 is mounted.
    mount: PathBuf,
    /// Where processes are.
    proc: PathBuf,
    known: HashMap<u64, Entry, foldhash::fast::RandomState>,
    /// What the scan that runs, and the next, are for.
    wanted: Vec<u64>,
    looking_for: Vec<u64>,
    scan: Option<Scan>,
    scan_started: Option<Instant>,
    scans: u32,
    /// Counts changes: who was told [`Answer::Unknown`] asks again when it has moved.
    version: u32,
}

struct Entry {
    place: Place,
    /// Number of the last scan that saw it or that it was asked for after.
    fresh: u32,
}

enum Place {
    /// Below the mount; not asked for yet.
    Path(Box<str>),
    Named(Option<Handle<Workload>>),
    Missing {
        until: Instant,
    },
}

/// What is known of a cgroup.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// Its name.
    Named(Handle<Workload>),
    /// Nothing, for now.
    Unknown,
}

// === impl Cgroups ===

impl Cgroups {
    /// Reads all cgroups below `mount`.
    pub fn read(mount: PathBuf, proc: PathBuf) -> Self {
        let mut cgroups = Self {
            scan: Some(Scan::of(&mount)),
            mount,
            proc,
            known: HashMap::default(),
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

    /// The name of cgroup `id`. `pid` (0: none) is a process that was seen in it.
    pub fn resolve(&mut self, id: u64, pid: u32, names: &Names, now: Instant) -> Answer {
        let scans = self.scans;
        if let Some(entry) = self.known.get_mut(&id) {
            entry.fresh = scans;
            match &entry.place {
                Place::Named(Some(handle)) => return Answer::Named(handle.clone()),
                Place::Named(None) => return Answer::Unknown,
                Place::Missing { until } if now < *until => return Answer::Unknown,
                Place::Missing { .. } => {}
                Place::Path(path) => {
                    let handle = path::classify(path).map(|named| names.of_cgroup(&named));
                    entry.place = Place::Named(handle.clone());
                    return handle.map_or(Answer::Unknown, Answer::Named);
                }
            }
        }
        if let Some(path) = self.path_of_process(id, pid) {
            let handle = path::classify(&path).map(|named| names.of_cgroup(&named));
            self.known.insert(id, Entry { place: Place::Named(handle.clone()), fresh: scans });
            return handle.map_or(Answer::Unknown, Answer::Named);
        }
        if self.wanted.len() < MOST_WANTED && !self.wanted.contains(&id) && !self.looking_for.contains(&id) {
            self.wanted.push(id);
        }
        Answer::Unknown
    }

    /// Gets on with a scan, or starts one if ids are wanted and it is time to.
    pub fn work(&mut self, now: Instant) {
        let due =
            self.scan_started.is_none_or(|started| now.saturating_duration_since(started) >= SCAN_EVERY);
        if self.scan.is_none() && !self.wanted.is_empty() && due {
            self.scan = Some(Scan::of(&self.mount));
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

    fn advance(&mut self, slice: Option<Duration>, now: Instant) {
        let Some(scan) = &mut self.scan else { return };
        let (known, next) = (&mut self.known, self.scans.wrapping_add(1));
        let done = scan.advance(slice, |id, path| {
            let entry =
                known.entry(id).or_insert_with(|| Entry { place: Place::Path(path.into()), fresh: next });
            entry.fresh = next;
            if matches!(entry.place, Place::Missing { .. }) {
                entry.place = Place::Path(path.into());
            }
        });
        if !done {
            return;
        }
        self.scan = None;
        self.scans = next;
        self.version = self.version.wrapping_add(1);
        for id in self.looking_for.drain(..) {
            let entry =
                known.entry(id).or_insert_with(|| Entry { place: Place::Path("".into()), fresh: next });
            let absent = match &entry.place {
                Place::Path(path) => path.is_empty(),
                Place::Missing { .. } => true,
                Place::Named(_) => false,
            };
            if absent {
                entry.place = Place::Missing { until: now + MISSING_FOR };
            }
        }
        self.known.retain(|_, entry| next.wrapping_sub(entry.fresh) < KEPT_SCANS);
    }

    /// Where the process is, if that is the cgroup asked for: a pid may have been taken by another process.
    fn path_of_process(&self, id: u64, pid: u32) -> Option<String> {
        if pid == 0 {
            return None;
        }
        let text = std::fs::read_to_string(self.proc.join(pid.to_string()).join("cgroup")).ok()?;
        let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let directory = std::fs::metadata(self.mount.join(path)).ok()?;
        (directory.ino() == id).then(|| format!("/{path}"))
    }
}
