//! Local ends by their cgroups: directories in a temporary file system stand in for cgroup2's.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::workload::cgroup::{Answer, Cgroups};
use crate::workload::names::Names;

/// Makes a directory and returns its inode.
fn make(root: &Path, path: &str) -> u64 {
    let directory = root.join(path);
    fs::create_dir_all(&directory).unwrap();
    fs::metadata(directory).unwrap().ino()
}

fn owned(cookie: u64, cgroup: u64, pid: u32) -> ConnectionRecord {
    let base = record(1, cookie, "comm", "10.0.0.1:5000", "10.9.9.9:80");
    ConnectionRecord { owner: Owner { cgroup, pid, ..base.owner }, ..base }
}

/// *Scenario*: sockets of a unit, of the root cgroup, of no known cgroup, and of a cgroup that does not exist.
/// *Guarantees*: unit's name; process names where the cgroup tells nothing; unknown where it is not to be found.
#[test]
fn local_ends_are_named_by_cgroup() {
    let root = tempfile::tempdir().unwrap();
    let unit = make(root.path(), "system.slice/nginx.service");
    let mut processor = WorkloadProcessor::new(Some(root.path().to_owned()), "/nonexistent".as_ref());
    let records = vec![owned(1, unit, 0), owned(2, 1, 0), owned(3, 0, 0), owned(4, u64::MAX, 0)];
    let named = run(&mut processor, records);
    assert_eq!(names(&named), pairs(&[("nginx", "-"), ("comm", "-"), ("comm", "-"), ("-", "-")]));
    let kinds: Vec<_> =
        named.iter().flat_map(|r| &r.names.local).map(|workload| workload.kind.to_string()).collect();
    assert_eq!(kinds, ["SystemdUnit", "Process", "Process"]);
}

/// *Scenario*: records of another boot (a replayed file) whose cgroup id exists here too; records that bring their names along.
/// *Guarantees*: no name of this host is given to another host's connection; names that came along are kept.
#[test]
fn another_hosts_cgroups_are_not_ours() {
    let (root, proc) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let unit = make(root.path(), "system.slice/nginx.service");
    make(proc.path(), "sys/kernel/random");
    fs::write(proc.path().join("sys/kernel/random/boot_id"), "0000002a-1111-2222-3333-444444444444\n")
        .unwrap();
    let mut processor = WorkloadProcessor::new(Some(root.path().to_owned()), proc.path());
    let of_boot = |boot, cookie| {
        let mut record = owned(cookie, unit, 0);
        record.id.boot = boot;
        record
    };
    let mut enriched = of_boot(7, 3);
    enriched.names.local = Some(
        longwave_pipeline::Interner::default()
            .intern(longwave_pipeline::Workload { name: "recorded".into(), ..Default::default() }),
    );
    let named = run(&mut processor, vec![of_boot(0x2a, 1), of_boot(7, 2), enriched]);
    assert_eq!(names(&named), pairs(&[("nginx", "-"), ("comm", "-"), ("recorded", "-")]));
}

/// *Scenario*: a cgroup is made after the start; its process is known.
/// *Guarantees*: it is found at once by its process, unless the pid is another's by now.
#[test]
fn a_new_cgroup_is_found_by_its_process() {
    let (root, proc) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut processor = WorkloadProcessor::new(Some(root.path().to_owned()), proc.path());
    let unit = make(root.path(), "system.slice/new.service");
    for (pid, path) in [("41", "/system.slice"), ("42", "/system.slice/new.service")] {
        fs::create_dir(proc.path().join(pid)).unwrap();
        fs::write(proc.path().join(pid).join("cgroup"), format!("12:cpu:/x\n0::{path}\n")).unwrap();
    }
    let named = run(&mut processor, vec![owned(1, unit, 42)]);
    assert_eq!(names(&named), pairs(&[("new", "-")]));

    let other = make(root.path(), "system.slice/other.service");
    let (mut cgroups, names) = (Cgroups::read(root.path().to_owned(), proc.path().to_owned()), Names::new());
    fs::remove_dir(root.path().join("system.slice/other.service")).unwrap();
    assert!(
        matches!(cgroups.resolve(other, 41, &names, Instant::now()), Answer::Named(_)),
        "seen by the scan"
    );
    assert_eq!(cgroups.resolve(other + 1_000_000, 41, &names, Instant::now()), Answer::Unknown);
}

/// *Scenario*: a cgroup is made after the start and no process is known; later it is removed.
/// *Guarantees*: the next scan finds it, scans keep their distance, a connection that is open by then gets the name; the name outlives
/// the directory; an id that no scan finds is not looked for again and again.
#[test]
fn a_new_cgroup_is_found_by_a_scan() {
    let root = tempfile::tempdir().unwrap();
    let (mut cgroups, names) = (Cgroups::read(root.path().to_owned(), "/nonexistent".into()), Names::new());
    let start = Instant::now();
    let later = |seconds| start + Duration::from_secs(seconds);
    let work = |cgroups: &mut Cgroups, now| (0..100).for_each(|_| cgroups.work(now));

    let unit = make(root.path(), "system.slice/new.service");
    let version = cgroups.version();
    assert_eq!(cgroups.resolve(unit, 0, &names, start), Answer::Unknown);
    work(&mut cgroups, start);
    assert_ne!(cgroups.version(), version);
    let Answer::Named(workload) = cgroups.resolve(unit, 0, &names, start) else { panic!() };
    assert_eq!(&*workload.name, "new");

    // Another one within the same second has to wait for the next scan.
    let second = make(root.path(), "system.slice/second.service");
    assert_eq!(cgroups.resolve(second, 0, &names, start), Answer::Unknown);
    work(&mut cgroups, start);
    assert_eq!(cgroups.resolve(second, 0, &names, start), Answer::Unknown);
    work(&mut cgroups, later(2));
    assert!(matches!(cgroups.resolve(second, 0, &names, later(2)), Answer::Named(_)));

    fs::remove_dir(root.path().join("system.slice/new.service")).unwrap();
    assert_eq!(cgroups.resolve(u64::MAX, 0, &names, later(4)), Answer::Unknown);
    work(&mut cgroups, later(4));
    let version = cgroups.version();
    assert_eq!(cgroups.resolve(unit, 0, &names, later(4)), Answer::Named(workload));
    assert_eq!(cgroups.resolve(u64::MAX, 0, &names, later(10)), Answer::Unknown);
    work(&mut cgroups, later(10));
    assert_eq!(cgroups.version(), version, "an id that is missing does not cause a scan for a minute");

    // Found in time, an open connection is renamed.
    let mut processor = WorkloadProcessor::new(Some(root.path().to_owned()), "/nonexistent".as_ref());
    let late = make(root.path(), "system.slice/late.service");
    assert_eq!(super::names(&run(&mut processor, vec![owned(1, late, 0)])), pairs(&[("-", "-")]));
    assert_eq!(super::names(&run(&mut processor, vec![owned(1, late, 0)])), pairs(&[("late", "-")]));
}

/// *Scenario*: cgroups come and go, a scan each time.
/// *Guarantees*: those that are gone and that nobody asks for are forgotten.
#[test]
fn removed_cgroups_are_forgotten() {
    let (root, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut cgroups, names) = (Cgroups::read(root.path().to_owned(), "/nonexistent".into()), Names::new());
    let start = Instant::now();
    for round in 0..64 {
        let now = start + Duration::from_secs(round * 100);
        let path = format!("job-{round}");
        let id = make(root.path(), &path);
        cgroups.resolve(id, 0, &names, now);
        cgroups.work(now);
        assert!(matches!(cgroups.resolve(id, 0, &names, now), Answer::Named(_)));
        // Moved away rather than removed, so that no inode is used twice.
        fs::rename(root.path().join(&path), away.path().join(&path)).unwrap();
    }
    assert!(cgroups.len() <= 17, "{}", cgroups.len());
}
