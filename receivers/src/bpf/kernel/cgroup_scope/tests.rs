use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::*;

/// Map with room for a number of cgroups.
pub struct TestMap {
    pub ids: BTreeSet<u64>,
    pub room: usize,
}

impl ScopeMap for TestMap {
    fn insert(&mut self, id: u64) -> bool {
        let fits = self.ids.contains(&id) || self.ids.len() < self.room;
        if fits {
            self.ids.insert(id);
        }
        fits
    }

    fn remove(&mut self, id: u64) {
        self.ids.remove(&id);
    }

    fn ids(&self) -> Vec<u64> {
        self.ids.iter().copied().collect()
    }
}

/// Directories in the place of cgroups, and a scope that selects those whose name begins with `job`.
struct Fixture {
    base: tempfile::TempDir,
    scope: CgroupScope<TestMap>,
    now: Instant,
}

impl Fixture {
    fn new(room: usize) -> Self {
        let base = tempfile::tempdir().unwrap();
        let root = base.path().join("cgroup");
        fs::create_dir(&root).unwrap();
        let map = TestMap { ids: BTreeSet::new(), room };
        let scope = CgroupScope::new(&"/job*".parse().unwrap(), Mount::whole(root), map);
        Self { base, scope, now: Instant::now() }
    }

    fn directory(&self, name: &str) -> PathBuf {
        self.base.path().join("cgroup").join(name)
    }

    /// Creates a cgroup. Returns its id.
    fn create(&self, name: &str) -> u64 {
        fs::create_dir(self.directory(name)).unwrap();
        fs::metadata(self.directory(name)).unwrap().ino()
    }

    /// Creates a cgroup, which the kernel side adds to the map and reports.
    fn create_reported(&mut self, name: &str) -> u64 {
        let id = self.create(name);
        self.scope.map.insert(id);
        self.scope.created(id, &format!("/{name}"), self.now);
        id
    }

    /// Begins a pass that is `seconds` later.
    fn pass_after(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.scope.begin_pass(true, self.now);
    }

    /// Makes all directories unreadable, or readable again.
    fn set_readable(&self, is_readable: bool) {
        let (shown, hidden) = (self.base.path().join("cgroup"), self.base.path().join("hidden"));
        let (from, to) = if is_readable { (hidden, shown) } else { (shown, hidden) };
        fs::rename(from, to).unwrap();
    }

    /// Returns whether the connections of a cgroup are reported, by both sides.
    fn has(&self, id: u64) -> bool {
        self.scope.includes(id) && self.scope.map.ids.contains(&id)
    }
}

/// *Scenario*: cgroups that exist at the start, and ones that are created later, some of which match.
/// *Guarantees*: exactly those that match are in the scope. Others leave the kernel side's map.
#[test]
fn exactly_those_that_match_are_in_the_scope() {
    let mut fixture = Fixture::new(10);
    let (old, other) = (fixture.create("job-1"), fixture.create("web"));
    assert!(fixture.scope.without_match().is_some());
    fixture.scope.rescan(fixture.now);
    let (new, new_other) = (fixture.create_reported("job-2"), fixture.create_reported("db"));
    assert_eq!([old, other, new, new_other].map(|id| fixture.has(id)), [true, false, true, false]);
    assert_eq!(fixture.scope.map.ids, BTreeSet::from([old, new]));
    assert!(fixture.scope.without_match().is_none());
    assert_eq!(fixture.scope.refused(), 0);
}

/// *Scenario*: a cgroup in the scope is removed, one outside of it too, and later nothing else happens but passes.
/// *Guarantees*: the former stays in the scope for 16 minutes, and a pass evicts it then. Nothing remains in the map.
#[test]
fn a_removed_cgroup_is_evicted_by_a_pass() {
    let mut fixture = Fixture::new(10);
    let job = fixture.create_reported("job");
    let undecided = fixture.create("web");
    fixture.scope.map.insert(undecided);
    for (id, name) in [(job, "job"), (undecided, "web")] {
        fs::remove_dir(fixture.directory(name)).unwrap();
        fixture.scope.removed(id, fixture.now);
    }
    assert_eq!(fixture.scope.map.ids, BTreeSet::from([job]));
    fixture.pass_after(959);
    assert!(fixture.has(job));
    fixture.pass_after(1);
    assert!(!fixture.scope.includes(job));
    assert!(fixture.scope.map.ids.is_empty());
}

/// *Scenario*: cgroups are created and removed, and their events are lost.
/// *Guarantees*: the next pass finds what was created, and evicts what was removed 16 minutes later. Without lost events, it does not scan.
#[test]
fn a_pass_finds_what_lost_events_changed() {
    let mut fixture = Fixture::new(10);
    let old = fixture.create_reported("job-1");
    // The file system of the test may use the inode again, so the new ones are created first.
    let (new, other) = (fixture.create("job-2"), fixture.create("web"));
    fs::remove_dir(fixture.directory("job-1")).unwrap();
    for id in [new, other] {
        fixture.scope.map.insert(id);
    }
    fixture.pass_after(1);
    assert_eq!([old, new, other].map(|id| fixture.has(id)), [true, false, false]);
    fixture.scope.missed(fixture.now);
    fixture.pass_after(1);
    assert_eq!([old, new, other].map(|id| fixture.has(id)), [true, true, false]);
    assert_eq!(fixture.scope.map.ids, BTreeSet::from([old, new]));
    fixture.pass_after(960);
    assert_eq!([old, new].map(|id| fixture.has(id)), [false, true]);
}

/// *Scenario*: events are lost, and the directories cannot be read at the next pass, but later.
/// *Guarantees*: a scan that is not complete removes nothing, and is repeated after 30 seconds. Cgroups that exist stay in the scope, also
/// 16 minutes later; a new one that was not decided is found.
#[test]
fn an_incomplete_scan_removes_nothing() {
    let mut fixture = Fixture::new(10);
    let job = fixture.create_reported("job-1");
    let undecided = fixture.create("job-2");
    fixture.scope.map.insert(undecided);
    fixture.set_readable(false);
    fixture.scope.missed(fixture.now);
    fixture.pass_after(1);
    assert_eq!(fixture.scope.map.ids, BTreeSet::from([job, undecided]));
    assert!(fixture.has(job));
    fixture.set_readable(true);
    fixture.pass_after(29);
    assert!(!fixture.has(undecided));
    fixture.pass_after(1);
    assert!(fixture.has(undecided));
    fixture.pass_after(960);
    assert_eq!([job, undecided].map(|id| fixture.has(id)), [true, true]);
}

/// *Scenario*: a cgroup is not found by a complete scan, although it exists, and the next scan finds it.
/// *Guarantees*: it stays in the scope 16 minutes later.
#[test]
fn a_cgroup_that_is_found_again_stays_in_the_scope() {
    let mut fixture = Fixture::new(10);
    let job = fixture.create_reported("job");
    let (shown, hidden) = (fixture.directory("job"), fixture.base.path().join("hidden"));
    fs::rename(&shown, &hidden).unwrap();
    fixture.scope.rescan(fixture.now);
    fs::rename(&hidden, &shown).unwrap();
    fixture.scope.rescan(fixture.now);
    fixture.pass_after(960);
    assert!(fixture.has(job));
}

/// *Scenario*: more cgroups match at the start than there is room for; one more is created; then two are removed, and their time passes.
/// *Guarantees*: each that a scan could not add is counted once. They are added when there is room, at most 30 seconds later. One that the
/// kernel side has counted is not counted again.
#[test]
fn cgroups_without_room_are_counted_and_added_later() {
    let mut fixture = Fixture::new(2);
    let ids = ["job-1", "job-2", "job-3"].map(|name| fixture.create(name));
    fixture.scope.rescan(fixture.now);
    let count = |fixture: &Fixture, ids: &[u64]| ids.iter().filter(|id| fixture.has(**id)).count();
    assert_eq!((count(&fixture, &ids), fixture.scope.refused()), (2, 1));
    let late = fixture.create_reported("job-4");
    fixture.pass_after(30);
    assert!(!fixture.scope.includes(late));
    assert_eq!(fixture.scope.refused(), 1);
    for (id, name) in ids.into_iter().zip(["job-1", "job-2", "job-3"]) {
        if fixture.has(id) {
            fs::remove_dir(fixture.directory(name)).unwrap();
            fixture.scope.removed(id, fixture.now);
        }
    }
    fixture.pass_after(960);
    fixture.pass_after(30);
    assert_eq!((count(&fixture, &ids), fixture.has(late), fixture.scope.refused()), (1, true, 1));
}
