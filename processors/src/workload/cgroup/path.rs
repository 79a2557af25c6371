//! Parses a cgroup's path. Each container runtime and service manager has its own formats.

use std::borrow::Cow;

/// A name read from a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name to show: a container's short id, a unit's name without its suffix, or the cgroup's own name.
    pub name: String,
    /// `Container`, `SystemdUnit`, or `Cgroup` for a cgroup that was made by hand.
    pub kind: &'static str,
    /// The whole container id (64 hex digits), or empty.
    pub container_id: String,
}

/// The ids by which directories look up a cgroup, each from the innermost part of the path that has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids<'a> {
    /// 64 hex digits, or empty.
    pub container_id: &'a str,
    /// With dashes, or empty. A static pod has the hash of its manifest instead: 32 hex digits.
    pub pod_uid: Cow<'a, str>,
}

/// Number of digits of a container id.
const ID_DIGITS: usize = 64;
/// Number of digits of a container's short id.
const SHORT_DIGITS: usize = 12;

/// Names the cgroup at `path`, which is relative to the root and begins with `/`. `None` for the root itself.
///
/// A container takes precedence over a unit, because a service of a systemd in a container belongs to the container. The innermost
/// container takes precedence over outer ones, because a Kubernetes node may be a container itself.
pub fn classify(path: &str) -> Option<Named> {
    if let Some(container) = parts(path).rev().find_map(container) {
        return Some(container);
    }
    if let Some(unit) =
        parts(path).rev().find_map(|part| part.strip_suffix(".service").or(part.strip_suffix(".scope")))
    {
        return Some(named(unit, "SystemdUnit"));
    }
    let last = parts(path).next_back()?;
    Some(match last.strip_suffix(".slice") {
        Some(slice) => named(slice, "SystemdUnit"),
        None => named(last, "Cgroup"),
    })
}

/// Returns the ids of the container and the pod that contain `path`, also for a pod's sandbox. A runtime's helper processes are in a pod,
/// but in no container.
pub fn ids(path: &str) -> Ids<'_> {
    Ids {
        container_id: parts(path).rev().find_map(container_id).unwrap_or_default(),
        pod_uid: parts(path).rev().find_map(pod_uid).unwrap_or_default(),
    }
}

/// Returns true if `path` is in a container or in a pod.
pub fn is_in_container(path: &str) -> bool {
    parts(path).any(|part| container(part).is_some() || pod_uid(part).is_some())
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// Returns the container that a part of a path names, by its id or (`lxc.payload.<name>`: LXC, LXD, Incus) by its name.
fn container(part: &str) -> Option<Named> {
    if let Some(name) = part.strip_prefix("lxc.payload.") {
        return Some(named(name, "Container"));
    }
    let id = container_id(part)?;
    Some(Named { name: id[..SHORT_DIGITS].to_owned(), kind: "Container", container_id: id.to_owned() })
}

/// Returns the container id in a part of a path:
/// - `<id>`: Docker, containerd and CRI-O with the cgroupfs driver (`/docker/<id>`, `/kubepods/burstable/pod<uid>/<id>`)
/// - `docker-<id>.scope`, `cri-containerd-<id>.scope`, `crio-<id>.scope`, `nerdctl-<id>.scope`, `libpod-<id>.scope`: with the systemd
///   driver
/// - `libpod-<id>`, `libpod-payload-<id>`: Podman with the cgroupfs driver, and within a unit
/// - `kubepods-pod<uid>.slice:cri-containerd:<id>`: containerd that is configured for the other driver
///
/// `crio-conmon-<id>.scope` and `libpod-conmon-<id>.scope` contain the runtimes' monitors, not containers.
fn container_id(part: &str) -> Option<&str> {
    let stem = part.strip_suffix(".scope").unwrap_or(part);
    let (runtime, id) = stem.rsplit_once(['-', ':']).unwrap_or(("", stem));
    let fits = id.len() == ID_DIGITS && id.bytes().all(|b| b.is_ascii_hexdigit());
    (fits && !runtime.ends_with("conmon")).then_some(id)
}

/// Returns the pod's uid in a part of a path:
/// - `pod<uid>`: the cgroupfs driver
/// - `kubepods-pod<uid>.slice`, `kubepods-burstable-pod<uid>.slice`, `kubelet-kubepods-…`: the systemd driver, which writes `_` for `-`
/// - `kubepods-burstable-pod<uid>.slice:cri-containerd:<id>`: as above
fn pod_uid(part: &str) -> Option<Cow<'_, str>> {
    let slice = part.split_once(".slice").map(|(slice, _)| slice);
    let uid = match slice {
        Some(slice) if slice.contains("kubepods") => slice.rsplit_once("-pod")?.1,
        Some(_) => return None,
        None => part.strip_prefix("pod")?,
    };
    let fits = uid.len() >= 4 && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-' || b == b'_');
    if !fits {
        return None;
    }
    Some(if uid.contains('_') { Cow::Owned(uid.replace('_', "-")) } else { Cow::Borrowed(uid) })
}

fn named(name: &str, kind: &'static str) -> Named {
    Named { name: name.to_owned(), kind, container_id: String::new() }
}
