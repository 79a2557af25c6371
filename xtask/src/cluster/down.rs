//! Ending everything and removing every trace, whatever state an earlier `up` or `down` has left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::layout::{DEVICE, Layout, NETWORK, POD_CIDR};
use super::process::{self, Process};
use super::state::State;
use super::{cgroups, netfilter};
use crate::sh;

/// What etcd and the API server may take to end in order.
const PATIENCE: Duration = Duration::from_secs(10);
/// Containers and their shims are not asked: their state is thrown away with them.
const NONE: Duration = Duration::ZERO;

/// Removes the cluster. Fails with a list of what is still there, after having tried everything.
pub fn down(layout: &Layout) -> Result<()> {
    let Some(state) = State::load(layout)? else {
        eprintln!("cluster: is down already");
        return Ok(());
    };
    let mut problems = Vec::new();
    let mut attempt = |result: Result<()>| {
        if let Err(error) = result {
            problems.push(format!("{error:#}"));
        }
    };
    let sockets = shim_sockets(layout);
    // The other way round than started: the kubelet first, or it would start again what ends.
    for process in state.processes.iter().rev().filter(|process| process.name.starts_with("kube")) {
        attempt(process.end(PATIENCE));
    }
    attempt(end_pods(layout));
    for process in state.processes.iter().rev() {
        attempt(process.end(PATIENCE));
    }
    attempt(end_all(|| shims(layout)));
    attempt(unmount(layout, state.bpffs));
    attempt(links());
    attempt(netfilter::remove(&state.tables));
    cgroups::remove();
    problems.extend(state.restore_settings());
    for socket in sockets {
        let _ = fs::remove_file(socket);
    }
    folders(layout, &state);
    problems.extend(left(layout)?);
    if !problems.is_empty() {
        bail!(
            "cluster: not everything could be removed (`down` again tries again):\n  {}",
            problems.join("\n  ")
        );
    }
    // Last: as long as it is there, `down` knows that there is something to do.
    fs::remove_dir_all(&layout.dir).with_context(|| format!("cluster: remove {}", layout.dir.display()))
}

/// What of the cluster is on the machine, outside its folder.
fn left(layout: &Layout) -> Result<Vec<String>> {
    let mut found = netfilter::left()?;
    found.extend(cgroups::pods().iter().map(|folder| format!("cgroup {}", folder.display())));
    found.extend(mounts(layout)?.iter().map(|mount| format!("mount {}", mount.display())));
    found.extend(shims(layout).iter().map(|shim| format!("shim, pid {}", shim.pid)));
    found.extend(pod_links()?.into_iter().map(|name| format!("network device {name}")));
    if Path::new("/sys/class/net").join(DEVICE).exists() {
        found.push(format!("network device {DEVICE}"));
    }
    Ok(found)
}

fn end_pods(layout: &Layout) -> Result<()> {
    end_all(cgroups::processes)?;
    end_all(|| shims(layout))
}

/// Ends what is found until nothing is: a process that ends may have just started another.
fn end_all(find: impl Fn() -> Vec<Process>) -> Result<()> {
    for _ in 0..20 {
        let found = find();
        if found.is_empty() {
            return Ok(());
        }
        for process in found {
            process.end(NONE)?;
        }
    }
    bail!("cluster: new processes appear in pods as fast as they are ended")
}

fn shims(layout: &Layout) -> Vec<Process> {
    let socket = layout.containerd_socket().display().to_string();
    process::find("containerd-shim", |arguments| {
        arguments.first().is_some_and(|program| program.ends_with("containerd-shim-runc-v2"))
            && arguments.contains(&socket.as_str())
    })
}

/// The shims listen outside our folder, in files with hashed names; each tells its own in its folder.
fn shim_sockets(layout: &Layout) -> Vec<PathBuf> {
    let tasks = layout.path("containerd/state/io.containerd.runtime.v2.task/k8s.io");
    let Ok(entries) = fs::read_dir(tasks) else { return Vec::new() };
    let addresses =
        entries.flatten().filter_map(|entry| fs::read_to_string(entry.path().join("address")).ok());
    addresses.filter_map(|address| Some(PathBuf::from(address.trim().strip_prefix("unix://")?))).collect()
}

fn mounts(layout: &Layout) -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("cluster: read /proc/self/mountinfo")?;
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    Ok(points.filter(|point| point.starts_with(&layout.dir)).collect())
}

/// The latest first: mounts may lie on mounts.
fn unmount(layout: &Layout, bpffs: bool) -> Result<()> {
    for point in mounts(layout)?.iter().rev() {
        // Lazily: a process that is just being ended may still hold it for a moment.
        sh::run(Command::new("umount").arg("--lazy").arg(point))?;
    }
    let mounted = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    if bpffs && mounted.lines().any(|line| line.split(' ').nth(1) == Some("/sys/fs/bpf")) {
        sh::run(Command::new("umount").args(["--lazy", "/sys/fs/bpf"]))?;
    }
    Ok(())
}

/// The pods' devices go with their namespaces, but not at once; each has a route to a pod's address.
fn pod_links() -> Result<Vec<String>> {
    let routes = sh::output(Command::new("ip").args(["-json", "-4", "route", "show", "root", POD_CIDR]))?;
    let routes: Value = serde_json::from_str(&routes).unwrap_or_default();
    let devices = routes.as_array().into_iter().flatten().filter_map(|route| route["dev"].as_str());
    let mut devices: Vec<String> =
        devices.filter(|name| name.starts_with("veth")).map(str::to_owned).collect();
    devices.dedup();
    Ok(devices)
}

fn links() -> Result<()> {
    let mut devices = pod_links()?;
    devices.push(DEVICE.to_owned());
    for device in devices {
        // Gone meanwhile is as good; what stays is reported at the end.
        let _ = sh::output_silent(Command::new("ip").args(["link", "delete", &device]));
    }
    Ok(())
}

/// What the components have written outside our folder.
fn folders(layout: &Layout, state: &State) {
    // Each sandbox has one file of our network and one of its loopback, which is not named after any.
    let results = Path::new("/var/lib/cni/results");
    for entry in fs::read_dir(results).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let sandbox = name.strip_prefix(NETWORK).and_then(|rest| rest.strip_prefix('-')?.split('-').next());
        if let Some(sandbox) = sandbox {
            let _ = fs::remove_file(results.join(format!("cni-loopback-{sandbox}-lo")));
            let _ = fs::remove_file(entry.path());
        }
    }
    for entry in fs::read_dir("/var/log/containers").into_iter().flatten().flatten() {
        if fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(&layout.dir)) {
            let _ = fs::remove_file(entry.path());
        }
    }
    for folder in &state.absent {
        if folder == Path::new("/var/lib/kubelet") {
            let _ = fs::remove_dir_all(folder);
        } else {
            // Not empty: somebody else uses it by now.
            let _ = fs::remove_dir(folder);
        }
    }
}
