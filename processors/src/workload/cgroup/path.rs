//! What a cgroup's path says: each runtime and service manager has its shapes.

/// A name read from a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Shown name: a container's short id, a unit's name without its suffix, or the cgroup's own.
    pub name: String,
    /// `Container`, `SystemdUnit`, or `Cgroup` for a cgroup that somebody made by hand.
    pub kind: &'static str,
    /// The whole container id, or empty.
    pub container_id: String,
}

/// Digits of a container id, and those that are shown.
const ID_DIGITS: usize = 64;
const SHORT_DIGITS: usize = 12;

/// Names the cgroup at `path`, which is relative to the root and begins with `/`. `None` for the root itself.
///
/// A container beats a unit (what runs under a systemd within a container is the container's), the innermost container the outer ones (a
/// container of a Kubernetes node that is a container itself).
pub fn classify(path: &str) -> Option<Named> {
    let parts = || path.split('/').filter(|part| !part.is_empty());
    if let Some(container) = parts().rev().find_map(container) {
        return Some(container);
    }
    if let Some(unit) =
        parts().rev().find_map(|part| part.strip_suffix(".service").or(part.strip_suffix(".scope")))
    {
        return Some(named(unit, "SystemdUnit"));
    }
    let last = parts().next_back()?;
    Some(match last.strip_suffix(".slice") {
        Some(slice) => named(slice, "SystemdUnit"),
        None => named(last, "Cgroup"),
    })
}

/// The container that a part of a path names:
/// - `<id>`: Docker, containerd and CRI-O with the cgroupfs driver (`/docker/<id>`, `/kubepods/burstable/pod<uid>/<id>`)
/// - `docker-<id>.scope`, `cri-containerd-<id>.scope`, `crio-<id>.scope`, `libpod-<id>.scope`: with the systemd driver
/// - `libpod-<id>`: Podman with the cgroupfs driver
/// - `kubepods-pod<uid>.slice:cri-containerd:<id>`: containerd that takes one driver for the other
/// - `lxc.payload.<name>`: LXC, LXD, Incus
///
/// `crio-conmon-<id>.scope` and `libpod-conmon-<id>.scope` are the runtimes' own.
fn container(part: &str) -> Option<Named> {
    if let Some(name) = part.strip_prefix("lxc.payload.") {
        return Some(named(name, "Container"));
    }
    let stem = part.strip_suffix(".scope").unwrap_or(part);
    let (runtime, id) = stem.rsplit_once(['-', ':']).unwrap_or(("", stem));
    if id.len() != ID_DIGITS || !id.bytes().all(|b| b.is_ascii_hexdigit()) || runtime.ends_with("conmon") {
        return None;
    }
    Some(Named { name: id[..SHORT_DIGITS].to_owned(), kind: "Container", container_id: id.to_owned() })
}

fn named(name: &str, kind: &'static str) -> Named {
    Named { name: name.to_owned(), kind, container_id: String::new() }
}
