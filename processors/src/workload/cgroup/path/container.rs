//! Containers and virtual machines in a cgroup's path.

use super::Named;
use super::unit::{self, is_hex, is_uuid, unescape};

/// Number of digits of a container id.
const ID_DIGITS: usize = 64;
/// Number of digits of a container's short id.
const SHORT_DIGITS: usize = 12;
/// Number of digits of the id of an ECS task.
const ECS_TASK_DIGITS: usize = 32;
/// Number of characters of the id of a Nomad allocation, which is a UUID.
const UUID_CHARACTERS: usize = 36;

/// Returns the container or virtual machine that the part at `index` names.
pub(super) fn at(parts: &[&str], index: usize) -> Option<Named> {
    let part = *parts.get(index)?;
    let parent = |levels: usize| index.checked_sub(levels).and_then(|at| parts.get(at)).copied();
    by_id(part, parent(1))
        .or_else(|| lxc(part, parent(1), parent(2)))
        .or_else(|| nspawn(part, parts.get(index + 1).copied()))
        .or_else(|| libvirt(part))
        .or_else(|| nomad(part))
        .or_else(|| fargate(part, parent(1)))
}

/// Returns the container id in a part of a path:
/// - `<id>`: Docker, containerd and CRI-O with the cgroupfs driver (`/docker/<id>`, `/kubepods/burstable/pod<uid>/<id>`), ECS
///   (`/ecs/<task>/<id>`)
/// - `docker-<id>.scope`, `cri-containerd-<id>.scope`, `crio-<id>.scope`, `nerdctl-<id>.scope`, `libpod-<id>.scope`: with the systemd
///   driver
/// - `libpod-<id>`, `libpod-payload-<id>`: Podman with the cgroupfs driver, and within a unit
/// - `kubepods-pod<uid>.slice:cri-containerd:<id>`: containerd that is configured for the other driver
///
/// `crio-conmon-<id>.scope` and `libpod-conmon-<id>.scope` contain the runtimes' monitors, not containers.
pub(super) fn id(part: &str) -> Option<&str> {
    prefix_and_id(part).map(|(_, id)| id)
}

fn prefix_and_id(part: &str) -> Option<(&str, &str)> {
    let stem = part.strip_suffix(".scope").unwrap_or(part);
    let (prefix, id) = stem.rsplit_once(['-', ':']).unwrap_or(("", stem));
    let fits = id.len() == ID_DIGITS && is_hex(id);
    (fits && !prefix.ends_with("conmon")).then_some((prefix, id))
}

fn by_id(part: &str, parent: Option<&str>) -> Option<Named> {
    let (prefix, id) = prefix_and_id(part)?;
    let runtime = match prefix.rsplit(':').next().unwrap_or_default() {
        "docker" => "docker",
        "" if parent == Some("docker") => "docker",
        "cri-containerd" | "containerd" | "nerdctl" => "containerd",
        "crio" => "cri-o",
        "libpod" | "libpod-payload" => "podman",
        _ => "",
    };
    Some(Named { container_id: id.to_owned(), ..container(&id[..SHORT_DIGITS], runtime) })
}

/// LXC, and LXD and Incus, which use it:
/// - `lxc.payload.<name>`: LXC 4 and newer. LXD and Incus name containers outside of their default project `<project>_<name>`
/// - `/lxc/<name>`: older ones, Proxmox VE (`/lxc/101/ns/…`), and `lxc.cgroup.pattern`
/// - `/libvirt/lxc/<name>`: libvirt without systemd
///
/// `lxc.monitor.<name>` contains LXC's monitor, not the container.
fn lxc(part: &str, parent: Option<&str>, grandparent: Option<&str>) -> Option<Named> {
    if let Some(name) = part.strip_prefix("lxc.payload.").filter(|name| !name.is_empty()) {
        return Some(container(name, "lxc"));
    }
    let runtime = if grandparent == Some("libvirt") { "libvirt-lxc" } else { "lxc" };
    (parent == Some("lxc")).then(|| container(part, runtime))
}

/// systemd-nspawn:
/// - `systemd-nspawn@<name>.service`, except its `supervisor`, which contains systemd-nspawn itself
/// - `<unit>/payload`: other units that run it, as `machine-<name>.scope` and NixOS's `container@<name>.service`
fn nspawn(part: &str, child: Option<&str>) -> Option<Named> {
    let unit = unit::stem(part)?;
    let is_payload = child == Some("payload");
    if let Some(name) = unit.strip_prefix("systemd-nspawn@") {
        return (child != Some("supervisor")).then(|| container(&unescape(name), "nspawn"));
    }
    let name = unit.strip_prefix("machine-").or_else(|| Some(unit.split_once('@')?.1)).unwrap_or(unit);
    (is_payload && !name.is_empty()).then(|| container(&unescape(name), "nspawn"))
}

/// Domains of libvirt, and virtual machines of systemd-vmspawn:
/// - `machine-lxc\x2d<number>\x2d<name>.scope`, `machine-qemu\x2d<number>\x2d<name>.scope`: with systemd. The number is of one launch
/// - `<name>.libvirt-lxc`, `<name>.libvirt-qemu`: without systemd
/// - `systemd-vmspawn@<name>.service`
fn libvirt(part: &str) -> Option<Named> {
    if let Some(name) = part.strip_suffix(".libvirt-lxc") {
        return Some(container(name, "libvirt-lxc"));
    }
    if let Some(name) = part.strip_suffix(".libvirt-qemu") {
        return Some(virtual_machine(name));
    }
    let unit = unit::stem(part)?;
    if let Some(name) = unit.strip_prefix("systemd-vmspawn@") {
        return Some(virtual_machine(&unescape(name)));
    }
    let machine = unescape(unit.strip_prefix("machine-")?);
    let name = |rest: &str| match rest.split_once('-') {
        Some((number, name)) if unit::is_number(number) && !name.is_empty() => name.to_owned(),
        _ => rest.to_owned(),
    };
    match machine.split_once('-')? {
        ("lxc", rest) => Some(container(&name(rest), "libvirt-lxc")),
        ("qemu", rest) => Some(virtual_machine(&name(rest))),
        _ => None,
    }
}

/// Nomad: `<allocation>.<task>.scope`, and without the suffix with version 1. Tasks of Nomad's Docker driver have Docker's cgroups.
fn nomad(part: &str) -> Option<Named> {
    let stem = part.strip_suffix(".scope").unwrap_or(part);
    let (allocation, task) = stem.split_at_checked(UUID_CHARACTERS)?;
    let task = task.strip_prefix('.').filter(|task| !task.is_empty())?;
    is_uuid(allocation).then(|| container(&unescape(task), "nomad"))
}

/// AWS Fargate: `/ecs/<task>/<task>-<number>`. All containers of a task have the same first digits, so the number is part of the name.
fn fargate(part: &str, parent: Option<&str>) -> Option<Named> {
    let (task, number) = part.split_once('-')?;
    let fits =
        parent == Some(task) && task.len() == ECS_TASK_DIGITS && is_hex(task) && unit::is_number(number);
    let name = || format!("{}-{number}", &task[..SHORT_DIGITS]);
    fits.then(|| Named { container_id: part.to_owned(), ..container(&name(), "fargate") })
}

fn container(name: &str, runtime: &'static str) -> Named {
    Named { name: name.to_owned(), kind: "Container", runtime, ..Named::default() }
}

fn virtual_machine(name: &str) -> Named {
    Named { name: name.to_owned(), kind: "VirtualMachine", ..Named::default() }
}
