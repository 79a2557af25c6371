//! Tests of the formats of cgroups' paths.

use crate::workload::cgroup::path::{classify, ids, is_in_container, is_launch};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OUTER: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

/// *Scenario*: the paths of containers with ids, by runtime and cgroup driver.
/// *Guarantees*: each path gives the container with its whole id and the runtime, if the path has it; the name is the short id.
#[test]
fn containers_with_ids() {
    for (path, runtime) in [
        ("/docker/ID", "docker"),
        ("/system.slice/docker-ID.scope", "docker"),
        ("/system.slice/docker-ID.scope/system.slice/nginx.service", "docker"),
        ("/kubepods/besteffort/pod0f7e7a5c-92a4-4d4a-a3ea-2d5a6dd0f9a1/ID", ""),
        ("/kubepods/pod0f7e7a5c-92a4-4d4a-a3ea-2d5a6dd0f9a1/ID", ""),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0f7e7a5c_92a4.slice/cri-containerd-ID.scope",
            "containerd",
        ),
        ("/kubepods.slice/kubepods-pod0f7e7a5c_92a4.slice/crio-ID.scope", "cri-o"),
        ("/kubepods.slice/kubepods-pod0f7e7a5c_92a4.slice/crio-ID.scope/container", "cri-o"),
        ("/system.slice/containerd.service/kubepods-burstable-pod0f7e.slice:cri-containerd:ID", "containerd"),
        ("/system.slice/nerdctl-ID.scope", "containerd"),
        ("/machine.slice/libpod-ID.scope", "podman"),
        ("/machine.slice/libpod-ID.scope/container", "podman"),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope", "podman"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/web.service/libpod-payload-ID", "podman"),
        ("/libpod_parent/libpod-ID", "podman"),
        (
            "/docker/OUTER/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod0f7e.slice/cri-containerd-ID.scope",
            "containerd",
        ),
        // ECS on EC2, with version 1, and with systemd.
        ("/ecs/cd189a933e5849daa93386466019ab50/ID", ""),
        ("/ecstasks.slice/ecstasks-cd189a933e5849daa93386466019ab50.slice/docker-ID.scope", "docker"),
        // Nomad's Docker driver, and Docker in a system container.
        ("/nomad.slice/share.slice/docker-ID.scope", "docker"),
        ("/machine.slice/systemd-nspawn@web.service/payload/system.slice/docker-ID.scope", "docker"),
        ("/lxc.payload.node1/system.slice/docker-ID.scope", "docker"),
    ] {
        let named = classify(&path.replace("ID", ID).replace("OUTER", OUTER)).unwrap();
        assert_eq!(
            (named.name.as_str(), named.kind, named.container_id.as_str(), named.runtime),
            ("0123456789ab", "Container", ID, runtime),
            "{path}"
        );
    }
}

/// *Scenario*: paths in containers of system container managers, of Nomad and of Fargate, and of virtual machines.
/// *Guarantees*: each path gives the container by its name, whatever runs in it, with its runtime. The number of a launch is not part of
/// the name. The managers' own processes are not in the container.
#[test]
fn containers_with_names() {
    let shown = |path: &str| {
        let named = classify(path).unwrap();
        format!("{} {} {}", named.kind, named.name, named.runtime).trim_end().to_owned()
    };
    for (path, expected) in [
        // systemd-nspawn: by machinectl, by hand in a scope of its own or of machined, in a unit, of NixOS, in a user's manager.
        (
            "/machine.slice/systemd-nspawn@web.service/payload/system.slice/nginx.service",
            "Container web nspawn",
        ),
        ("/machine.slice/systemd-nspawn@web.service/payload/init.scope", "Container web nspawn"),
        ("/machine.slice/systemd-nspawn@web.service/system.slice/nginx.service", "Container web nspawn"),
        ("/machine.slice/systemd-nspawn@my\\x2dapp.service/payload", "Container my-app nspawn"),
        ("/machine.slice/machine-web.scope/payload/system.slice/nginx.service", "Container web nspawn"),
        ("/machine.slice/web.scope/payload/system.slice/nginx.service", "Container web nspawn"),
        ("/system.slice/build.service/payload/system.slice/nginx.service", "Container build nspawn"),
        ("/machine.slice/container@shop.service/payload/system.slice/nginx.service", "Container shop nspawn"),
        (
            "/user.slice/user-1000.slice/user@1000.service/machine.slice/systemd-nspawn@dev.service/payload",
            "Container dev nspawn",
        ),
        ("/machine.slice/systemd-nspawn@web.service/supervisor", "SystemdUnit systemd-nspawn@web"),
        // LXC, also nested, and Proxmox VE.
        ("/lxc/db1/system.slice/mysql.service", "Container db1 lxc"),
        ("/lxc/db1", "Container db1 lxc"),
        ("/lxc/101/ns/system.slice/mysql.service", "Container 101 lxc"),
        ("/lxc.payload.web1/system.slice/nginx.service", "Container web1 lxc"),
        ("/lxc.payload.outer/lxc.payload.inner/init.scope", "Container inner lxc"),
        ("/user.slice/user-1000.slice/session-3.scope/lxc.payload.web1/init.scope", "Container web1 lxc"),
        ("/lxc.monitor.web1", "Cgroup lxc.monitor.web1"),
        // LXD and Incus: the default project, and another one.
        ("/lxc.payload.c1/system.slice/ssh.service", "Container c1 lxc"),
        ("/lxc.payload.shop_c1/system.slice/ssh.service", "Container shop_c1 lxc"),
        // libvirt.
        ("/machine.slice/machine-lxc\\x2d9251\\x2dmy\\x2dweb.scope/libvirt", "Container my-web libvirt-lxc"),
        (
            "/machine.slice/machine-lxc\\x2d7\\x2dweb.scope/system.slice/nginx.service",
            "Container web libvirt-lxc",
        ),
        ("/machine.slice/machine-lxc\\x2dweb.scope", "Container web libvirt-lxc"),
        ("/machine/web.libvirt-lxc/system.slice/nginx.service", "Container web libvirt-lxc"),
        ("/libvirt/lxc/web/system.slice/nginx.service", "Container web libvirt-lxc"),
        ("/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator", "VirtualMachine vm"),
        ("/machine.slice/machine-qemu\\x2d2\\x2dvm.scope/libvirt/emulator", "VirtualMachine vm"),
        ("/machine/vm.libvirt-qemu/emulator", "VirtualMachine vm"),
        ("/machine.slice/systemd-vmspawn@vm.service", "VirtualMachine vm"),
        // Nomad: exec and java drivers since 1.7, before, and with version 1.
        (
            "/nomad.slice/share.slice/0b8c1ab4-2a3c-4d7e-8f60-2f4c9a7b1d22.api-server.scope",
            "Container api-server nomad",
        ),
        (
            "/nomad.slice/reserve.slice/7d2e3f40-aaaa-4bbb-8ccc-0123456789ab.api-server.scope",
            "Container api-server nomad",
        ),
        ("/nomad.slice/0b8c1ab4-2a3c-4d7e-8f60-2f4c9a7b1d22.db.v2.scope", "Container db.v2 nomad"),
        ("/nomad/share/0b8c1ab4-2a3c-4d7e-8f60-2f4c9a7b1d22.db", "Container db nomad"),
        // Fargate: the containers of one task differ in the number only.
        (
            "/ecs/cd189a933e5849daa93386466019ab50/cd189a933e5849daa93386466019ab50-2495160603",
            "Container cd189a933e58-2495160603 fargate",
        ),
    ] {
        assert_eq!(shown(path), expected, "{path}");
        assert_eq!(
            is_in_container(path),
            expected.starts_with("Container") || expected.starts_with("Virtual"),
            "{path}"
        );
    }
}

/// *Scenario*: paths of units, of runtimes' own processes, of cgroups that were created by hand, and the root.
/// *Guarantees*: units have their name without suffix and escapes; what a unit's name has of one launch is not part of the name; other
/// cgroups have their own name; the root has no name.
#[test]
fn units_and_others() {
    let shown =
        |path: &str| classify(&path.replace("ID", ID)).map(|named| format!("{} {}", named.kind, named.name));
    for (path, expected) in [
        ("/system.slice/nginx.service", "SystemdUnit nginx"),
        ("/system.slice/nginx.service/worker", "SystemdUnit nginx"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "SystemdUnit getty@tty1"),
        ("/system.slice/my\\x2dapp@1.service", "SystemdUnit my-app@1"),
        ("/system.slice/caf\\xc3\\xa9.service", "SystemdUnit café"),
        ("/system.slice/bad\\xff.service", "SystemdUnit bad\u{FFFD}"),
        ("/system.slice/odd\\x2.service", "SystemdUnit odd\\x2"),
        ("/system.slice/_memory.agent.service", "SystemdUnit memory.agent"),
        ("/system.slice/my\\x2dgroup.slice", "SystemdUnit my-group"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service", "SystemdUnit foo"),
        ("/user.slice/user-1000.slice/user@1000.service/init.scope", "SystemdUnit init"),
        ("/init.scope", "SystemdUnit init"),
        ("/system.slice", "SystemdUnit system"),
        ("/machine.slice/machine-build.scope", "SystemdUnit machine-build"),
        // Applications of a desktop: scopes with and without a launcher, services, and D-Bus activation.
        ("USER/app.slice/app-gnome-firefox-4711.scope", "SystemdUnit firefox"),
        ("USER/app.slice/app-gnome-firefox\\x2desr-4712.scope", "SystemdUnit firefox-esr"),
        ("USER/app.slice/app-org.gnome.Evince-12345.scope", "SystemdUnit org.gnome.Evince"),
        (
            "USER/app.slice/app-KDE-org.kde.okular-0123456789abcdef0123456789abcdef.scope",
            "SystemdUnit org.kde.okular",
        ),
        ("USER/app.slice/app-flatpak-org.telegram.desktop@12345.service", "SystemdUnit org.telegram.desktop"),
        ("USER/app.slice/app-gnome\\x2dkeyring\\x2dssh@autostart.service", "SystemdUnit gnome-keyring-ssh"),
        ("USER/app.slice/dbus-:1.2-org.gnome.Shell@0.service", "SystemdUnit org.gnome.Shell"),
        ("USER/app.slice/app-org.kde.amarok.service", "SystemdUnit app-org.kde.amarok"),
        ("/system.slice/app-shop-web@7.service", "SystemdUnit app-shop-web@7"),
        // Ids of a launch at the end.
        (
            "USER/app.slice/snap.firefox.firefox-0b8c1ab4-2a3c-4d7e-8f60-2f4c9a7b1d22.scope",
            "SystemdUnit snap.firefox.firefox",
        ),
        (
            "USER/snap.firefox.firefox.0b8c1ab4-2a3c-4d7e-8f60-2f4c9a7b1d22.scope",
            "SystemdUnit snap.firefox.firefox",
        ),
        ("/machine.slice/libpod-conmon-ID.scope", "SystemdUnit libpod-conmon"),
        // Scopes with a number that was chosen.
        ("/system.slice/worker-2.scope", "SystemdUnit worker-2"),
        ("/batch/job-17", "Cgroup job-17"),
        ("/batch/a\\x2db", "Cgroup a\\x2db"),
        ("/docker/0123", "Cgroup 0123"),
    ] {
        let path = path.replace("USER", "/user.slice/user-1000.slice/user@1000.service");
        assert_eq!(shown(&path).as_deref(), Some(expected), "{path}");
        assert!(!is_launch(&path), "{path}");
    }
    assert_eq!((shown("/"), shown("")), (None, None));
}

/// *Scenario*: paths of login sessions, of commands of `systemd-run`, and of terminals' tabs; similar names that were chosen.
/// *Guarantees*: they are launches, which are named by their process. If that is unknown, the unit or slice that contains them is the name.
#[test]
fn launches() {
    for (path, otherwise) in [
        ("/user.slice/user-1000.slice/session-42.scope", Some("user-1000")),
        ("/user.slice/user-0.slice/session-c1.scope", Some("user-0")),
        ("/system.slice/run-r0123456789abcdef0123456789abcdef.scope", Some("system")),
        ("/system.slice/run-u7.service/worker", Some("system")),
        ("/system.slice/run-p4711-i4712.scope", Some("system")),
        ("/system.slice/run-4711.service", Some("system")),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/run-r0123456789abcdef0123456789abcdef.scope",
            Some("user@1000"),
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-0b8c1ab4-2a3c-4d7e-8f60-2f4c9a7b1d22.scope",
            Some("user@1000"),
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/tmux-spawn-0b8c1ab4-2a3c-4d7e-8f60-2f4c9a7b1d22.scope",
            Some("user@1000"),
        ),
    ] {
        assert!(is_launch(path), "{path}");
        let named = classify(path);
        assert_eq!(named.as_ref().map(|named| named.name.as_str()), otherwise, "{path}");
    }
    for path in [
        "/system.slice/run-backup.service",
        "/system.slice/session-store.service",
        "/system.slice/runner-1.service",
        "/user.slice/user-1000.slice/session-3.scope/lxc.payload.web1/init.scope",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service",
        "/user.slice",
        "/",
    ] {
        assert!(!is_launch(path), "{path}");
    }
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
