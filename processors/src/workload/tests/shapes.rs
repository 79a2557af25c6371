//! What paths and mount tables look like.

use crate::workload::cgroup::mount::find;
use crate::workload::cgroup::path::classify;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OUTER: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

/// *Scenario*: the paths of containers, by runtime and cgroup driver.
/// *Guarantees*: each is the container with its whole id, shown by its short id.
#[test]
fn containers() {
    for path in [
        "/docker/ID",
        "/system.slice/docker-ID.scope",
        "/system.slice/docker-ID.scope/system.slice/nginx.service",
        "/kubepods/besteffort/pod0f7e7a5c-92a4-4d4a-a3ea-2d5a6dd0f9a1/ID",
        "/kubepods/pod0f7e7a5c-92a4-4d4a-a3ea-2d5a6dd0f9a1/ID",
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0f7e7a5c_92a4.slice/cri-containerd-ID.scope",
        "/kubepods.slice/kubepods-pod0f7e7a5c_92a4.slice/crio-ID.scope",
        "/kubepods.slice/kubepods-pod0f7e7a5c_92a4.slice/crio-ID.scope/container",
        "/system.slice/containerd.service/kubepods-burstable-pod0f7e.slice:cri-containerd:ID",
        "/machine.slice/libpod-ID.scope",
        "/machine.slice/libpod-ID.scope/container",
        "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope",
        "/libpod_parent/libpod-ID",
        "/docker/OUTER/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod0f7e.slice/cri-containerd-ID.scope",
    ] {
        let named = classify(&path.replace("ID", ID).replace("OUTER", OUTER)).unwrap();
        assert_eq!(
            (named.name.as_str(), named.kind, named.container_id.as_str()),
            ("0123456789ab", "Container", ID),
            "{path}"
        );
    }
    let lxc = classify("/lxc.payload.web1/system.slice/nginx.service").unwrap();
    assert_eq!((lxc.name.as_str(), lxc.kind), ("web1", "Container"));
}

/// *Scenario*: paths of units, of runtimes' own processes, of cgroups made by hand, and the root.
/// *Guarantees*: units by their name without suffix; the rest by what the cgroup is called; the root says nothing.
#[test]
fn units_and_others() {
    let shown =
        |path: &str| classify(&path.replace("ID", ID)).map(|named| format!("{} {}", named.kind, named.name));
    for (path, expected) in [
        ("/system.slice/nginx.service", "SystemdUnit nginx"),
        ("/system.slice/nginx.service/worker", "SystemdUnit nginx"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "SystemdUnit getty@tty1"),
        ("/user.slice/user-1000.slice/session-3.scope", "SystemdUnit session-3"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service", "SystemdUnit foo"),
        ("/user.slice/user-1000.slice/user@1000.service/init.scope", "SystemdUnit init"),
        ("/init.scope", "SystemdUnit init"),
        ("/system.slice", "SystemdUnit system"),
        ("/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt", "SystemdUnit machine-qemu\\x2d1\\x2dvm"),
        ("/batch/job-17", "Cgroup job-17"),
        ("/docker/0123", "Cgroup 0123"),
    ] {
        assert_eq!(shown(path).as_deref(), Some(expected), "{path}");
    }
    let conmon = format!("SystemdUnit libpod-conmon-{ID}");
    assert_eq!(shown("/machine.slice/libpod-conmon-ID.scope"), Some(conmon));
    assert_eq!((shown("/"), shown("")), (None, None));
}

/// *Scenario*: mount tables of hosts with version 2, with both versions, with an escaped path, and without version 2.
/// *Guarantees*: the cgroup2 mount point, if there is one.
#[test]
fn mount_points() {
    let v2 = "22 1 0:20 / /sys rw - sysfs sysfs rw\n30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    let hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                  41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    let escaped = "41 31 0:38 / /mnt/my\\040groups rw - cgroup2 none rw\n";
    let found = |text| find(text).map(|path| path.display().to_string());
    assert_eq!(found(v2).as_deref(), Some("/sys/fs/cgroup"));
    assert_eq!(found(hybrid).as_deref(), Some("/sys/fs/cgroup/unified"));
    assert_eq!(found(escaped).as_deref(), Some("/mnt/my groups"));
    assert_eq!(found("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\nnonsense\n"), None);
}
