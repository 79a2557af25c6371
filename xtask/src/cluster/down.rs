//! Stops the cluster and removes everything that it created. Also works after an `up` or `down` that failed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::layout::{DEVICE, Layout, NETWORK, POD_CIDR};
use super::process::{self, Process};
use super::state::ClusterState;
use super::{cgroups, netfilter};
use crate::sh;

/// Time for etcd and the API server to stop after SIGTERM, before they are killed.
const GRACE_PERIOD: Duration = Duration::from_secs(10);
/// Containers and shims are killed immediately, because their state is removed as well.
const NO_GRACE_PERIOD: Duration = Duration::ZERO;

/// Removes the cluster. Continues after an error. Fails at the end if something could not be removed, with a list.
pub fn down(layout: &Layout) -> Result<()> {
    let Some(state) = ClusterState::load(layout)? else {
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
    // In the reverse order of the start, because the kubelet would restart containers that stop.
    for process in state.processes.iter().rev().filter(|process| process.name.starts_with("kube")) {
        attempt(process.end(GRACE_PERIOD));
    }
    attempt(end_pods(layout));
    for process in state.processes.iter().rev() {
        attempt(process.end(GRACE_PERIOD));
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
    problems.extend(leftovers(layout)?);
    if !problems.is_empty() {
        bail!(
            "cluster: not everything could be removed (run `down` again to retry):\n  {}",
            problems.join("\n  ")
        );
    }
    // Last, because `down` does nothing without the folder.
    fs::remove_dir_all(&layout.dir).with_context(|| format!("cluster: remove {}", layout.dir.display()))
}

/// Lists everything of the cluster that still exists outside its folder.
fn leftovers(layout: &Layout) -> Result<Vec<String>> {
    let mut found = netfilter::leftovers()?;
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

/// Ends the processes that `find` returns, until it returns none. Repeats this, because a process may start another one before it ends.
fn end_all(find: impl Fn() -> Vec<Process>) -> Result<()> {
    for _ in 0..20 {
        let found = find();
        if found.is_empty() {
            return Ok(());
        }
        for process in found {
            process.end(NO_GRACE_PERIOD)?;
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

/// Returns the sockets of the shims. They are outside the folder of the cluster, and their names are hashes. Each task has a file `address`
/// with the path of its socket.
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

/// Unmounts the latest mount first, because it can be below an earlier one.
fn unmount(layout: &Layout, bpffs: bool) -> Result<()> {
    for point in mounts(layout)?.iter().rev() {
        // Lazily, because a process may use the mount for a moment while it ends. A shim that ends removes its mounts itself.
        let result = sh::run(Command::new("umount").arg("--lazy").arg(point));
        if result.is_err() && mounts(layout)?.contains(point) {
            result?;
        }
    }
    let mounted = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    if bpffs && mounted.lines().any(|line| line.split(' ').nth(1) == Some("/sys/fs/bpf")) {
        sh::run(Command::new("umount").args(["--lazy", "/sys/fs/bpf"]))?;
    }
    Ok(())
}

/// Returns the network devices of pods, which the kernel removes some time after their namespaces. They are found by their routes to the
/// addresses of pods.
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
        // Fails if the kernel has removed the device. `leftovers` reports the device if it still exists.
        let _ = sh::output_silent(Command::new("ip").args(["link", "delete", &device]));
    }
    Ok(())
}

/// Removes the files that the components have written outside the folder of the cluster.
fn folders(layout: &Layout, state: &ClusterState) {
    // Each sandbox has one file whose name starts with the name of the network, and one for its loopback, whose name does not.
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
            // Fails if the folder is not empty: other programs use it now.
            let _ = fs::remove_dir(folder);
        }
    }
}
