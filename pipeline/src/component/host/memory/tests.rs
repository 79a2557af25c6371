use super::*;

/// *Scenario*: a service under version 2, a container under version 2 that sees only its own part, and a container under version 1.
/// *Guarantees*: the limits of the own cgroup and of all visible ones above it are read, and no others.
#[test]
fn limits_of_all_cgroups_above() {
    let files = |cgroup, mountinfo| -> Vec<String> {
        limit_files(cgroup, mountinfo).into_iter().map(|file| file.display().to_string()).collect()
    };
    let v2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
    assert_eq!(
        files("0::/system.slice/longwave.service\n", v2),
        [
            "/sys/fs/cgroup/system.slice/longwave.service/memory.max",
            "/sys/fs/cgroup/system.slice/memory.max",
            "/sys/fs/cgroup/memory.max",
        ]
    );
    assert_eq!(files("0::/\n", v2), ["/sys/fs/cgroup/memory.max"]);
    let v1 = "40 1 0:30 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
              41 1 0:31 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
    assert_eq!(
        files("5:cpu:/docker/abc\n4:memory:/docker/abc\n", v1),
        ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]
    );
    assert_eq!(files("nonsense\n", "nonsense\n"), [""; 0]);
}

/// *Scenario*: the `meminfo` of a host, and one without the line.
/// *Guarantees*: the memory of the host, in bytes, and none.
#[test]
fn memory_of_the_host() {
    assert_eq!(total("MemFree: 1 kB\nMemTotal:       16384 kB\n"), Some(16384 * 1024));
    assert_eq!(total("MemFree: 1 kB\n"), None);
}
