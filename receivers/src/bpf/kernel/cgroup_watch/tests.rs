use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use zerocopy::IntoBytes;

use super::super::cgroup_scope::tests::TestMap;
use super::*;

fn record(kind: u8, id: u64, path: &str) -> Vec<u8> {
    let path_len = path.len() as u32;
    let event = CgroupEvent { version: LAYOUT_VERSION, kind, path_len, id, ..CgroupEvent::default() };
    [event.as_bytes(), path.as_bytes()].concat()
}

/// Creates a watch without events, whose scope selects `/job`. `root` is the mount.
fn watch(root: &std::path::Path) -> CgroupWatch<TestMap> {
    let map = TestMap { ids: BTreeSet::new(), room: 10 };
    let scope = CgroupScope::new(&"/job".parse().unwrap(), Mount::whole(root.to_owned()), map);
    let paths = Some(Arc::new(CgroupPaths::default()));
    CgroupWatch { events: None, paths, scope: Some(scope), lost: 0, malformed: 0 }
}

/// *Scenario*: a cgroup is created and removed, and one that does not match; then only passes follow.
/// *Guarantees*: the paths and the scope follow the events. Both forget a removed cgroup 16 minutes later.
#[test]
fn paths_and_scope_follow_the_events() {
    let root = tempfile::tempdir().unwrap();
    let mut watch = watch(root.path());
    let paths = Arc::clone(watch.paths.as_ref().unwrap());
    let start = Instant::now();
    for (id, path) in [(7, "/job"), (8, "/web")] {
        watch.handle(&record(kind::CGROUP_CREATED, id, path), start);
    }
    assert_eq!([7, 8].map(|id| watch.includes(id)), [true, false]);
    assert_eq!(paths.path(8).as_deref(), Some("/web"));
    for id in [7, 8] {
        watch.handle(&record(kind::CGROUP_REMOVED, id, ""), start);
    }
    watch.begin_pass_at(0, true, start + Duration::from_secs(959));
    assert_eq!((watch.includes(7), paths.len()), (true, 2));
    watch.begin_pass_at(0, true, start + Duration::from_secs(960));
    assert_eq!((watch.includes(7), paths.len()), (false, 0));
    assert_eq!(watch.malformed(), 0);
}

/// *Scenario*: the event of a cgroup whose path is too long, and a cgroup whose event was lost; one whose event is not read yet.
/// *Guarantees*: the next pass decides on the first two by their directories. It does not read them for the last one.
#[test]
fn cgroups_without_a_path_are_found_by_the_next_pass() {
    for (lost, has_path) in [(0, true), (0, false), (1, true)] {
        let root = tempfile::tempdir().unwrap();
        let mut watch = watch(root.path());
        let start = Instant::now();
        fs::create_dir(root.path().join("job")).unwrap();
        let id = fs::metadata(root.path().join("job")).unwrap().ino();
        if !has_path {
            watch.handle(&record(kind::CGROUP_CREATED, id, ""), start);
        }
        assert!(!watch.includes(id));
        watch.begin_pass_at(lost, true, start);
        assert_eq!(watch.includes(id), lost == 1 || !has_path);
        assert_eq!(watch.refused(), 0);
    }
}

/// *Scenario*: records that are too short, too long, of another version, and of another kind.
/// *Guarantees*: each is counted, and changes nothing.
#[test]
fn foreign_records_are_counted() {
    let root = tempfile::tempdir().unwrap();
    let mut watch = watch(root.path());
    let good = record(kind::CGROUP_CREATED, 7, "/job");
    let mut other_version = good.clone();
    other_version[0] ^= 1;
    let longer = [&good[..], b"x"].concat();
    for bad in [&good[..good.len() - 1], &good[..3], &longer, &other_version, &record(99, 7, "/job")] {
        watch.handle(bad, Instant::now());
    }
    assert_eq!((watch.malformed(), watch.includes(7)), (5, false));
}
