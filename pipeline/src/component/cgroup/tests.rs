use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn below<'a>(mount: &Mount, path: &'a str) -> Option<&'a str> {
    mount.below(path.as_bytes()).map(|path| std::str::from_utf8(path).unwrap())
}

/// Matches by trying every possibility: the rest of the pattern may match the rest of the path.
fn naive(pattern: &[u8], path: &[u8]) -> bool {
    if pattern.starts_with(b"/**/") {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        return path.first() == Some(&b'/')
            && slashes.map(|(at, _)| at + 1).any(|next| naive(&pattern[4..], &path[next..]));
    }
    if pattern.starts_with(b"**") {
        let length = pattern.iter().take_while(|byte| **byte == b'*').count();
        return (0..=path.len()).any(|next| naive(&pattern[length..], &path[next..]));
    }
    match (pattern.first(), path.first()) {
        (None, None | Some(b'/')) => true,
        (None, _) => false,
        (Some(b'*'), _) => {
            let part = path.iter().take_while(|byte| **byte != b'/').count();
            (0..=part).any(|next| naive(&pattern[1..], &path[next..]))
        }
        (Some(b'?'), Some(byte)) => *byte != b'/' && naive(&pattern[1..], &path[1..]),
        (Some(own), Some(byte)) => own == byte && naive(&pattern[1..], &path[1..]),
        (Some(_), None) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    /// *Scenario*: any short pattern of few different characters, and any path.
    /// *Guarantees*: the matcher, which never tries a wildcard twice at one position, has the same result as trying every possibility.
    #[test]
    fn patterns_match_as_by_trying_everything(pattern in "/[ab/*?]{0,10}", path in "(/[ab]{1,3}){0,5}") {
        let parsed: Pattern = pattern.parse().unwrap();
        let trimmed = pattern.trim_end_matches('/');
        prop_assert_eq!(parsed.matches(&path), naive(trimmed.as_bytes(), path.as_bytes()), "{} {}", pattern, path);
    }
}

/// *Scenario*: patterns with and without the mount point, at and below it, and the pattern of everything.
/// *Guarantees*: a mount point at the start is removed, as whole parts of the path only. The pattern `/` matches every cgroup.
#[test]
fn patterns_may_have_the_mount_point() {
    for (pattern, below) in [
        ("/sys/fs/cgroup/system.slice/web@*.service", "/system.slice/web@*.service"),
        ("/system.slice/web.service", "/system.slice/web.service"),
        ("/sys/fs/cgroup", "/"),
        ("/sys/fs/cgroup/", "/"),
        ("/sys/fs/cgroups/web", "/sys/fs/cgroups/web"),
        ("/**/web.service", "/**/web.service"),
    ] {
        let pattern: Pattern = pattern.parse().unwrap();
        assert_eq!(pattern.below("/sys/fs/cgroup".as_ref()).to_string(), below);
    }
    let all: Pattern = "/".parse().unwrap();
    assert!(all.matches("/system.slice") && all.matches("") && all.matches("/"));
}

/// *Scenario*: cgroups are created and removed; time passes; another removal.
/// *Guarantees*: the path of a removed cgroup is kept for a while and then removed, which is no eviction. That of an existing cgroup is kept.
#[test]
fn paths_of_removed_cgroups_are_kept_for_a_while() {
    let paths = CgroupPaths::default();
    let start = Instant::now();
    for (id, path) in [(7, "/job"), (8, "/web"), (9, "/late")] {
        paths.created(id, path);
    }
    paths.removed(7, start);
    paths.removed(7, start + Duration::from_secs(900));
    paths.removed(1, start);
    assert_eq!(paths.path(7).as_deref(), Some("/job"));
    paths.removed(9, start + Duration::from_secs(959));
    assert_eq!(paths.path(7).as_deref(), Some("/job"));
    paths.removed(9, start + Duration::from_secs(961));
    assert_eq!((paths.path(7), paths.path(8).as_deref(), paths.len()), (None, Some("/web"), 2));
    assert_eq!(paths.evicted(), 0);
}

/// *Scenario*: a cgroup is removed, and later none is created or removed.
/// *Guarantees*: the call of each pass removes its path when the time is over, and not before.
#[test]
fn paths_are_forgotten_without_another_removal() {
    let paths = CgroupPaths::default();
    let start = Instant::now();
    paths.created(7, "/job");
    paths.removed(7, start);
    paths.forget_expired(start + Duration::from_secs(959));
    assert_eq!(paths.path(7).as_deref(), Some("/job"));
    paths.forget_expired(start + Duration::from_secs(960));
    assert!(paths.is_empty());
}

/// *Scenario*: trees of directories: whole; with one that is removed during the scan; with one that cannot be read; with more than the
/// scan may read; without a root.
/// *Guarantees*: a directory that was removed meanwhile leaves the scan complete, everything else that was left out does not.
#[test]
fn a_scan_reports_what_it_left_out() {
    let root = tempfile::tempdir().unwrap();
    let directory = |path: &str| std::fs::create_dir_all(root.path().join(path)).unwrap();
    directory("a/b");
    directory("c");
    let scan = |mut scan: Scan, found: &mut dyn FnMut(&str)| {
        let mut paths = Vec::new();
        let is_over = scan.advance(None, |_, path| {
            found(path);
            paths.push(path.to_owned());
        });
        assert!(is_over);
        paths.sort();
        (paths, scan.is_complete())
    };
    let all = ["/a", "/a/b", "/c"].map(str::to_owned);
    assert_eq!(scan(Scan::of(root.path()), &mut |_| {}), (all.to_vec(), true));
    assert_eq!(scan(Scan::with_limit(root.path(), 4), &mut |_| {}), (all.to_vec(), true));
    assert!(!scan(Scan::with_limit(root.path(), 3), &mut |_| {}).1);
    assert!(!scan(Scan::of(&root.path().join("missing")), &mut |_| {}).1);
    let file = root.path().join("c");
    let removed = scan(Scan::of(root.path()), &mut |path| {
        if path == "/c" {
            std::fs::remove_dir(&file).unwrap();
        }
    });
    assert_eq!(removed, (all.to_vec(), true));
    directory("c");
    let unreadable = scan(Scan::of(root.path()), &mut |path| {
        if path == "/c" {
            std::fs::remove_dir(&file).unwrap();
            std::fs::write(&file, "").unwrap();
        }
    });
    assert_eq!(unreadable, (all.to_vec(), false));
}

/// *Scenario*: more cgroups than the table has room for, by number and by bytes, some of them removed; one id twice.
/// *Guarantees*: the table stays within its bounds. Removed cgroups are evicted first, then the oldest, and each eviction is counted.
#[test]
fn paths_are_bounded() {
    let paths = CgroupPaths::default();
    let now = Instant::now();
    for id in 0..16_384 {
        paths.created(id, "/x");
    }
    paths.removed(5, now);
    paths.created(20_000, "/y");
    assert_eq!((paths.len(), paths.evicted(), paths.path(5)), (16_384, 1, None));
    paths.created(20_001, "/z");
    assert_eq!((paths.path(0), paths.path(1).as_deref(), paths.evicted()), (None, Some("/x"), 2));
    paths.created(20_001, "/again");
    assert_eq!((paths.path(20_001).as_deref(), paths.len()), (Some("/again"), 16_384));
    let long = "/a".repeat(2 << 20);
    paths.created(30_000, &long);
    assert_eq!((paths.len(), paths.path(30_000).map(|path| path.len())), (1, Some(long.len())));
    for id in 40_000..100_000 {
        paths.created(id, "/x");
        paths.removed(id, now);
    }
    assert_eq!(paths.len(), 16_384);
}

/// *Scenario*: the mount table of a pod that has a cgroup namespace of its own, and the host's tree mounted in addition to its own; paths
/// in `/proc/<pid>/cgroup` there, and on a host.
/// *Guarantees*: the host's tree is used, and paths are relative to it; a path outside of it gives `None`.
#[test]
fn the_hosts_tree_in_a_pod() {
    let own = "700 600 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate\n";
    let hosts = "710 600 0:26 /../../../.. /host/cgroup ro - cgroup2 cgroup rw,nsdelegate\n";
    for text in [format!("{own}{hosts}"), format!("{hosts}{own}")] {
        let mount = Mount::find(&text).unwrap();
        assert_eq!(mount.point.to_str(), Some("/host/cgroup"));
        assert_eq!(
            below(&mount, "/../../../../system.slice/sshd.service"),
            Some("/system.slice/sshd.service")
        );
        assert_eq!(below(&mount, "/../other"), None);
    }
    let part = "31 23 0:26 /system.slice /mnt/part rw - cgroup2 cgroup2 rw\n";
    assert_eq!(
        Mount::find(&format!("{part}{own}")).unwrap(),
        Mount { is_whole: false, ..Mount::whole("/sys/fs/cgroup".into()) }
    );
    let whole = Mount::whole("/sys/fs/cgroup".into());
    assert_eq!(
        (below(&whole, "/a/b"), below(&whole, "/"), below(&whole, "/../b")),
        (Some("/a/b"), Some("/"), None)
    );
    let part = Mount::find(part).unwrap();
    assert_eq!((below(&part, "/system.slice/a"), below(&part, "/system.slices/a")), (Some("/a"), None));
}

/// *Scenario*: mount tables of hosts with version 2, with both versions, with an escaped path, and without version 2.
/// *Guarantees*: the cgroup2 mount point is found, if there is one.
#[test]
fn mount_points() {
    let v2 = "22 1 0:20 / /sys rw - sysfs sysfs rw\n30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    let hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                  41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    let escaped = "41 31 0:38 / /mnt/my\\040groups rw - cgroup2 none rw\n";
    let found = |text| Mount::find(text).map(|mount| mount.point.display().to_string());
    assert_eq!(found(v2).as_deref(), Some("/sys/fs/cgroup"));
    assert_eq!([v2, hybrid].map(|text| Mount::find(text).unwrap().beside_v1), [false, true]);
    assert_eq!(found(hybrid).as_deref(), Some("/sys/fs/cgroup/unified"));
    assert_eq!(found(escaped).as_deref(), Some("/mnt/my groups"));
    assert_eq!(found("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\nnonsense\n"), None);
}
