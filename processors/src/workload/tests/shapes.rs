//! Tests of the formats of cgroups' paths and of mount tables.

use crate::workload::cgroup::mount::{Mount, find};
use crate::workload::cgroup::path::{classify, ids};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OUTER: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

/// *Scenario*: the paths of containers, by runtime and cgroup driver.
/// *Guarantees*: each path gives the container with its whole id; the name is the short id.
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

/// *Scenario*: paths of units, of runtimes' own processes, of cgroups that were created by hand, and the root.
/// *Guarantees*: units have their name without suffix; other cgroups have their own name; the root has no name.
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

/// *Scenario*: paths of pods' containers and sandboxes by runtime and driver, of a static pod, of a runtime's helper processes, of
/// containers outside pods, of units; a Kubernetes node that is a container.
/// *Guarantees*: the ids are the innermost container's id and the innermost pod's UID with dashes; each is empty if there is none.
#[test]
fn ids_of_pods_and_containers() {
    let uid = "0f7e7a5c-92a4-4d4a-a3ea-2d5a6dd0f9a1";
    let hash = "5d41402abc4b2a76b9719d911017c592";
    for (path, container, pod) in [
        ("/kubepods/besteffort/podUID/ID", ID, uid),
        ("/kubepods/podUID/ID", ID, uid),
        ("/kubepods/burstable/podUID", "", uid),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_ID.slice/cri-containerd-ID.scope",
            ID,
            uid,
        ),
        ("/kubepods.slice/kubepods-podU_ID.slice/crio-ID.scope/container", ID, uid),
        ("/kubepods.slice/kubepods-podU_ID.slice/crio-conmon-ID.scope", "", uid),
        (
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podU_ID.slice/docker-ID.scope",
            ID,
            uid,
        ),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podHASH.slice/cri-containerd-ID.scope",
            ID,
            hash,
        ),
        ("/system.slice/containerd.service/kubepods-burstable-podU_ID.slice:cri-containerd:ID", ID, uid),
        (
            "/docker/OUTER/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podU_ID.slice/cri-containerd-ID.scope",
            ID,
            uid,
        ),
        ("/machine.slice/libpod-ID.scope/container", ID, ""),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/web.service/libpod-payload-ID", ID, ""),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope", ID, ""),
        ("/system.slice/docker-ID.scope", ID, ""),
        ("/system.slice/podman.service", "", ""),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-podfeed.slice/foo.service", "", ""),
        ("/podium/job", "", ""),
        ("/", "", ""),
    ] {
        let text = path.replace("U_ID", &uid.replace('-', "_")).replace("UID", uid).replace("HASH", hash);
        let text = text.replace("OUTER", OUTER).replace("ID", ID);
        let found = ids(&text);
        assert_eq!((found.container_id, &*found.pod_uid), (container, pod), "{path}");
    }
}

/// *Scenario*: the mount table of a pod that has a cgroup namespace of its own, and the host's tree mounted in addition to its own; paths
/// in `/proc/<pid>/cgroup` there, and on a host.
/// *Guarantees*: the host's tree is used, and paths are relative to it; a path outside of it gives `None`.
#[test]
fn the_hosts_tree_in_a_pod() {
    let own = "700 600 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate\n";
    let hosts = "710 600 0:26 /../../../.. /host/cgroup ro - cgroup2 cgroup rw,nsdelegate\n";
    for text in [format!("{own}{hosts}"), format!("{hosts}{own}")] {
        let mount = find(&text).unwrap();
        assert_eq!(mount.point.to_str(), Some("/host/cgroup"));
        assert_eq!(mount.below("/../../../../system.slice/sshd.service"), Some("/system.slice/sshd.service"));
        assert_eq!(mount.below("/../other"), None);
    }
    let part = "31 23 0:26 /system.slice /mnt/part rw - cgroup2 cgroup2 rw\n";
    assert_eq!(find(&format!("{part}{own}")).unwrap(), Mount::whole("/sys/fs/cgroup".into()));
    let whole = Mount::whole("/sys/fs/cgroup".into());
    assert_eq!(
        (whole.below("/a/b"), whole.below("/"), whole.below("/../b")),
        (Some("/a/b"), Some("/"), None)
    );
    let part = find(part).unwrap();
    assert_eq!((part.below("/system.slice/a"), part.below("/system.slices/a")), (Some("/a"), None));
}

/// *Scenario*: mount tables of hosts with version 2, with both versions, with an escaped path, and without version 2.
/// *Guarantees*: the cgroup2 mount point is found, if there is one.
#[test]
fn mount_points() {
    let v2 = "22 1 0:20 / /sys rw - sysfs sysfs rw\n30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    let hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                  41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    let escaped = "41 31 0:38 / /mnt/my\\040groups rw - cgroup2 none rw\n";
    let found = |text| find(text).map(|mount| mount.point.display().to_string());
    assert_eq!(found(v2).as_deref(), Some("/sys/fs/cgroup"));
    assert_eq!([v2, hybrid].map(|text| find(text).unwrap().beside_v1), [false, true]);
    assert_eq!(found(hybrid).as_deref(), Some("/sys/fs/cgroup/unified"));
    assert_eq!(found(escaped).as_deref(), Some("/mnt/my groups"));
    assert_eq!(found("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\nnonsense\n"), None);
}
