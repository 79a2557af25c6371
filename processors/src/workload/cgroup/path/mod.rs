//! Parses a cgroup's path. Each container runtime and service manager has its own formats.

mod container;
mod unit;

use std::borrow::Cow;

/// A name read from a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The name to show: a container's name or short id, a unit's name without its suffix, or the cgroup's own name.
    pub name: String,
    /// `Container`, `VirtualMachine`, `SystemdUnit`, or `Cgroup` for a cgroup that was made by hand.
    pub kind: &'static str,
    /// What runs the container: `docker`, `lxc`, …; empty if the path does not contain it, and for other kinds.
    pub runtime: &'static str,
    /// The whole container id (mostly 64 hex digits), or empty.
    pub container_id: String,
}

/// The ids by which directories look up a cgroup. Each is that of the innermost part of the path that has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids<'a> {
    /// 64 hex digits, or empty.
    pub container_id: &'a str,
    /// Uid of the pod with dashes, or empty. A static pod has the hash of its manifest instead: 32 hex digits.
    pub pod_uid: Cow<'a, str>,
}

/// Names the cgroup at `path`, which is relative to the root and begins with `/`. `None` for the root itself.
///
/// A container takes precedence over a unit, because a service of a systemd in a container belongs to the container. The innermost
/// container takes precedence over outer ones, because a Kubernetes node may be a container itself.
pub fn classify(path: &str) -> Option<Named> {
    let parts: Vec<&str> = parts(path).collect();
    innermost_container(&parts).or_else(|| unit::innermost(&parts)).or_else(|| {
        let last = parts.last()?;
        Some(match last.strip_suffix(".slice") {
            Some(slice) => unit::named(slice),
            None => Named { name: (*last).to_owned(), kind: "Cgroup", ..Named::default() },
        })
    })
}

/// Returns the ids of the container and the pod that contain `path`, also for a pod's sandbox. A runtime's helper processes are in a pod,
/// but in no container.
pub fn ids(path: &str) -> Ids<'_> {
    Ids {
        container_id: parts(path).rev().find_map(container::id).unwrap_or_default(),
        pod_uid: parts(path).rev().find_map(pod_uid).unwrap_or_default(),
    }
}

/// Returns true if `path` is in a container or in a pod.
pub fn is_in_container(path: &str) -> bool {
    let parts: Vec<&str> = parts(path).collect();
    innermost_container(&parts).is_some() || parts.iter().any(|part| pod_uid(part).is_some())
}

/// Returns true if the path is that of a single launch: a login session, a command of `systemd-run`, a terminal's tab. Such a cgroup does
/// not say what runs in it, and the next launch has another name.
pub fn is_launch(path: &str) -> bool {
    let parts: Vec<&str> = parts(path).collect();
    unit::is_launch(&parts) && innermost_container(&parts).is_none()
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

fn innermost_container(parts: &[&str]) -> Option<Named> {
    (0..parts.len()).rev().find_map(|index| container::at(parts, index))
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
