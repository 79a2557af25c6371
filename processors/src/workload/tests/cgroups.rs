//! Tests of local ends that are named by their cgroups. Directories in a temporary file system replace those of cgroup2.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use longwave_pipeline::component::cgroup::CgroupPaths;
use longwave_pipeline::model::OwnerSource;

use super::*;
use crate::workload::cgroup::{CgroupResult, Cgroups};

/// Makes a directory and returns its inode.
fn make(root: &Path, path: &str) -> u64 {
    let directory = root.join(path);
    fs::create_dir_all(&directory).unwrap();
    fs::metadata(directory).unwrap().ino()
}

fn cgroups(root: &Path, proc: &Path) -> Cgroups {
    Cgroups::read(Mount::whole(root.to_owned()), proc.to_owned(), Arc::default())
}

/// Returns the cgroup's path; `sought` if it is pending, `missing` if it is missing.
fn path_of(cgroups: &mut Cgroups, id: u64, pid: u32, now: Instant) -> String {
    match cgroups.find(id, pid, now) {
        CgroupResult::Found(cgroup) => cgroup.path.to_string(),
        CgroupResult::Pending => "sought".to_owned(),
        CgroupResult::Missing => "missing".to_owned(),
    }
}

/// Number of slices that suffices for a scan in these tests. On a busy machine, a slice may end after a single directory.
const SLICES: usize = 100;

fn work(cgroups: &mut Cgroups, now: Instant) {
    (0..SLICES).for_each(|_| cgroups.work(now));
}

fn owned(cookie: u64, cgroup: u64, pid: u32) -> ConnectionRecord {
    let base = record(1, cookie, "comm", "10.0.0.1:5000", "10.9.9.9:80");
    ConnectionRecord { owner: Owner { cgroup, pid, ..base.owner }, ..base }
}

/// *Scenario*: sockets of a unit, of the root cgroup, of no known cgroup, of a login session, and of a container of a system container
/// manager.
/// *Guarantees*: the end has the unit's name, or the process's name if the cgroup does not say what runs in it, or the container's name
/// with its runtime.
#[test]
fn local_ends_are_named_by_cgroup() {
    let root = tempfile::tempdir().unwrap();
    let unit = make(root.path(), "system.slice/nginx.service");
    let session = make(root.path(), "user.slice/user-1000.slice/session-42.scope");
    let container = make(root.path(), "lxc.payload.db1/system.slice/mysql.service");
    let mut processor = built_in(Some(root.path()), "/nonexistent".as_ref());
    let nameless =
        ConnectionRecord { owner: Owner { cgroup: session, ..Owner::default() }, ..owned(6, 0, 0) };
    let records = vec![
        owned(1, unit, 0),
        owned(2, 1, 0),
        owned(3, 0, 0),
        owned(4, session, 0),
        owned(5, container, 0),
        nameless,
    ];
    let named = run(&mut processor, records);
    let shown: Vec<_> = named
        .iter()
        .flat_map(|record| &record.names.local)
        .map(|workload| {
            let labels = workload.labels.iter().map(|label| format!(" {}={}", label.key.name(), label.value));
            format!("{} {}{}", workload.kind, workload.name, labels.collect::<String>())
        })
        .collect();
    assert_eq!(
        shown,
        [
            "SystemdUnit nginx",
            "Process comm",
            "Process comm",
            "Process comm",
            "Container db1 container.runtime.name=lxc",
            "SystemdUnit user-1000"
        ]
    );
}

/// *Scenario*: a connection is accepted by a service's listener; then a walk finds another process, in the root cgroup; then a process of another
/// unit closes it. The client is on this node, too.
/// *Guarantees*: the end follows the process that is known best, also if its name has the same precedence or the cgroup does not identify it.
/// The peer follows its name.
#[test]
fn an_end_follows_an_owner_that_becomes_certain() {
    let root = tempfile::tempdir().unwrap();
    let (socket, sshd) =
        (make(root.path(), "system.slice/inetd.service"), make(root.path(), "system.slice/ssh.service"));
    let mut processor = built_in(Some(root.path()), "/nonexistent".as_ref());
    let server = |cgroup, source, comm: &str| {
        let base = record(1, 1, comm, "10.0.0.1:22", "10.0.0.1:5000");
        ConnectionRecord { owner: Owner { cgroup, source, ..base.owner }, ..base }
    };
    let client = record(1, 2, "ssh", "10.0.0.1:5000", "10.0.0.1:22");
    let mut named = |server| super::names(&run(&mut processor, vec![server, client.clone()]));
    for (owner, expected) in [
        (server(socket, OwnerSource::Listener, "systemd"), "inetd"),
        (server(socket, OwnerSource::Listener, "systemd"), "inetd"),
        (server(1, OwnerSource::Holder, "sshd-session"), "sshd-session"),
        (server(sshd, OwnerSource::Close, "sshd"), "ssh"),
    ] {
        let names = named(owner);
        assert_eq!((names[0].0.as_str(), names[1].1.as_str()), (expected, expected), "{names:?}");
    }
}

/// *Scenario*: the cgroup of a short-lived process was removed before its path was read; a scan does not find it. The record has the
/// process's name; another has not.
/// *Guarantees*: the end is named by its process once the scan has ended, and is unknown if the process is unknown too.
#[test]
fn a_gone_cgroup_leaves_the_process() {
    let root = tempfile::tempdir().unwrap();
    let mut processor = built_in(Some(root.path()), "/nonexistent".as_ref());
    let nameless =
        ConnectionRecord { owner: Owner { cgroup: u64::MAX, ..Owner::default() }, ..owned(2, 0, 0) };
    let mut named = || super::names(&run(&mut processor, vec![owned(1, u64::MAX, 0), nameless.clone()]));
    let expected = pairs(&[("comm", "-"), ("-", "-")]);
    assert!((0..SLICES).any(|_| named() == expected));
}

/// *Scenario*: records of another boot (a replayed file) whose cgroup id exists here too; records that already have names.
/// *Guarantees*: a connection of another boot gets no name from this host's cgroups; names in records are kept.
#[test]
fn another_hosts_cgroups_are_not_ours() {
    let (root, proc) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let unit = make(root.path(), "system.slice/nginx.service");
    make(proc.path(), "sys/kernel/random");
    fs::write(proc.path().join("sys/kernel/random/boot_id"), "0000002a-1111-2222-3333-444444444444\n")
        .unwrap();
    let mut processor = built_in(Some(root.path()), proc.path());
    let of_boot = |boot, cookie| {
        let mut record = owned(cookie, unit, 0);
        record.id.boot = boot;
        record
    };
    let mut enriched = of_boot(7, 3);
    enriched.names.local = Some(
        longwave_pipeline::model::Interner::default()
            .intern(longwave_pipeline::model::Workload { name: "recorded".into(), ..Default::default() }),
    );
    let named = run(&mut processor, vec![of_boot(0x2a, 1), of_boot(7, 2), enriched]);
    assert_eq!(names(&named), pairs(&[("nginx", "-"), ("comm", "-"), ("recorded", "-")]));
}

/// *Scenario*: a cgroup is created after the start; its process is known.
/// *Guarantees*: the cgroup is found by its process without a scan, unless the pid was reused by another process.
#[test]
fn a_new_cgroup_is_found_by_its_process() {
    let (root, proc) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut processor = built_in(Some(root.path()), proc.path());
    let unit = make(root.path(), "system.slice/new.service");
    for (pid, path) in [("41", "/system.slice"), ("42", "/system.slice/new.service")] {
        fs::create_dir(proc.path().join(pid)).unwrap();
        fs::write(proc.path().join(pid).join("cgroup"), format!("12:cpu:/x\n0::{path}\n")).unwrap();
    }
    let named = run(&mut processor, vec![owned(1, unit, 42)]);
    assert_eq!(names(&named), pairs(&[("new", "-")]));

    let other = make(root.path(), "system.slice/other.service");
    let mut cgroups = cgroups(root.path(), proc.path());
    fs::remove_dir(root.path().join("system.slice/other.service")).unwrap();
    assert_eq!(
        path_of(&mut cgroups, other, 41, Instant::now()),
        "/system.slice/other.service",
        "seen by the scan"
    );
    assert_eq!(path_of(&mut cgroups, other + 1_000_000, 41, Instant::now()), "sought");
}

/// *Scenario*: cgroups whose names are not UTF-8, and one below such a cgroup: at the start, found by their process, found by a scan.
/// *Guarantees*: each has its name, in which the bad bytes are U+FFFD.
#[test]
fn names_that_are_not_utf_8() {
    let (root, proc) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let make = |path: &[u8]| {
        let directory = root.path().join(OsStr::from_bytes(path));
        fs::create_dir_all(&directory).unwrap();
        fs::metadata(directory).unwrap().ino()
    };
    let below = make(b"batch\xfe/job\xff");
    let mut processor = built_in(Some(root.path()), proc.path());
    let by_process = make(b"own\xffgroup");
    fs::create_dir(proc.path().join("42")).unwrap();
    fs::write(proc.path().join("42/cgroup"), b"1:name=\xff:/\xff\n0::/own\xffgroup\n").unwrap();
    let named = run(&mut processor, vec![owned(1, below, 0), owned(2, by_process, 42)]);
    assert_eq!(names(&named), pairs(&[("job\u{fffd}", "-"), ("own\u{fffd}group", "-")]));
    let by_scan = make(b"batch\xfe/late\xff/worker.service");
    let mut named = || super::names(&run(&mut processor, vec![owned(3, by_scan, 0)]));
    assert!((0..SLICES).any(|_| named() == pairs(&[("worker", "-")])));
}

/// *Scenario*: a cgroup is created after the start and no process is known; later it is removed.
/// *Guarantees*: the next scan finds the cgroup, and open connections get its name; two scans are at least a second apart; the name is kept
/// after the directory is removed; an id that a scan did not find causes no scan for a minute.
#[test]
fn a_new_cgroup_is_found_by_a_scan() {
    let root = tempfile::tempdir().unwrap();
    let mut cgroups = cgroups(root.path(), "/nonexistent".as_ref());
    let start = Instant::now();
    let later = |seconds| start + Duration::from_secs(seconds);

    let unit = make(root.path(), "system.slice/new.service");
    let version = cgroups.version();
    assert_eq!(path_of(&mut cgroups, unit, 0, start), "sought");
    work(&mut cgroups, start);
    assert_ne!(cgroups.version(), version);
    assert_eq!(path_of(&mut cgroups, unit, 0, start), "/system.slice/new.service");

    // Another cgroup within the same second has to wait for the next scan.
    let second = make(root.path(), "system.slice/second.service");
    assert_eq!(path_of(&mut cgroups, second, 0, start), "sought");
    work(&mut cgroups, start);
    assert_eq!(path_of(&mut cgroups, second, 0, start), "sought");
    work(&mut cgroups, later(2));
    assert_eq!(path_of(&mut cgroups, second, 0, later(2)), "/system.slice/second.service");

    fs::remove_dir(root.path().join("system.slice/new.service")).unwrap();
    assert_eq!(path_of(&mut cgroups, u64::MAX, 0, later(4)), "sought");
    work(&mut cgroups, later(4));
    let version = cgroups.version();
    assert_eq!(path_of(&mut cgroups, unit, 0, later(4)), "/system.slice/new.service");
    assert_eq!(path_of(&mut cgroups, u64::MAX, 0, later(10)), "missing");
    work(&mut cgroups, later(10));
    assert_eq!(cgroups.version(), version, "an id that is missing does not cause a scan for a minute");

    // An open connection gets the name once a scan has found its cgroup.
    let mut processor = built_in(Some(root.path()), "/nonexistent".as_ref());
    let late = make(root.path(), "system.slice/late.service");
    let mut named = || super::names(&run(&mut processor, vec![owned(1, late, 0)]));
    assert_eq!(named(), pairs(&[("-", "-")]));
    assert!((0..SLICES).any(|_| named() == pairs(&[("late", "-")])));
}

/// *Scenario*: a receiver reports the creation and the removal of a cgroup, whose directory is gone before the first record; a processor
/// with a mount of a part of the tree, whose paths are others.
/// *Guarantees*: the path is known immediately, without a scan, and stays known after the removal. In the part of a tree, only scans give
/// paths.
#[test]
fn a_reported_cgroup_is_known_at_once() {
    const ID: u64 = u64::MAX - 7;
    let root = tempfile::tempdir().unwrap();
    let reported = Arc::new(CgroupPaths::default());
    let whole = Mount::whole(root.path().to_owned());
    let part = Mount { is_whole: false, ..whole.clone() };
    let read = |mount| Cgroups::read(mount, "/nonexistent".into(), Arc::clone(&reported));
    let (mut cgroups, mut of_part, mut late) = (read(whole.clone()), read(part), read(whole));
    let now = Instant::now();
    reported.created(ID, "/batch/job-1");
    let version = cgroups.version();
    assert_eq!(path_of(&mut cgroups, ID, 0, now), "/batch/job-1");
    reported.removed(ID, now);
    assert_eq!(path_of(&mut cgroups, ID, 0, now), "/batch/job-1");
    assert_eq!(path_of(&mut late, ID, 0, now), "/batch/job-1");
    assert_eq!(cgroups.version(), version, "no scan");
    assert_eq!(path_of(&mut of_part, ID, 0, now), "sought");
}

/// *Scenario*: many short-lived cgroups are reported and looked up, and no scan is wanted for them.
/// *Guarantees*: the number of cached cgroups stays bounded.
#[test]
fn reported_cgroups_are_evicted() {
    let root = tempfile::tempdir().unwrap();
    let reported = Arc::new(CgroupPaths::default());
    let mut cgroups =
        Cgroups::read(Mount::whole(root.path().to_owned()), "/nonexistent".into(), Arc::clone(&reported));
    let start = Instant::now();
    for round in 0..10_000 {
        // A hundred cgroups per second.
        let now = start + Duration::from_millis(round * 10);
        reported.created(u64::MAX - round, "/batch/job");
        assert_eq!(path_of(&mut cgroups, u64::MAX - round, 0, now), "/batch/job");
        reported.removed(u64::MAX - round, now);
        cgroups.work(now);
    }
    assert!(cgroups.len() <= 2_048, "{}", cgroups.len());
}

/// *Scenario*: cgroups are created and removed, with a scan each time.
/// *Guarantees*: removed cgroups that are not looked up are evicted.
#[test]
fn removed_cgroups_are_evicted() {
    let (root, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut cgroups = cgroups(root.path(), "/nonexistent".as_ref());
    let start = Instant::now();
    for round in 0..64 {
        let now = start + Duration::from_secs(round * 100);
        let path = format!("job-{round}");
        let id = make(root.path(), &path);
        path_of(&mut cgroups, id, 0, now);
        work(&mut cgroups, now);
        assert_eq!(path_of(&mut cgroups, id, 0, now), format!("/{path}"));
        // The directory is moved away, because the inode of a removed one could be reused.
        fs::rename(root.path().join(&path), away.path().join(&path)).unwrap();
    }
    assert!(cgroups.len() <= 17, "{}", cgroups.len());
}
