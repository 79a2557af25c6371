//! The cgroups of pods, in every hierarchy of cgroup version 1 and in the one of version 2.

use std::fs;
use std::path::{Path, PathBuf};

use super::process::Process;

const ROOT: &str = "/sys/fs/cgroup";
/// Name of the parent of all pods' cgroups. The kubelet chooses it.
const PODS: &str = "kubepods";

/// Returns the parent of all pods' cgroups in each hierarchy.
pub fn pods() -> Vec<PathBuf> {
    let mut hierarchies: Vec<PathBuf> = folders(Path::new(ROOT));
    hierarchies.push(ROOT.into());
    // `cpu` can be a link to `cpu,cpuacct`.
    hierarchies.retain(|folder| !folder.is_symlink());
    hierarchies.into_iter().map(|folder| folder.join(PODS)).filter(|folder| folder.is_dir()).collect()
}

/// Returns every process in a pod.
pub fn processes() -> Vec<Process> {
    let mut pids: Vec<i32> = Vec::new();
    for folder in pods().iter().flat_map(|root| deepest_first(root)) {
        let list = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        pids.extend(list.lines().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    pids.sort_unstable();
    pids.dedup();
    pids.into_iter().filter_map(|pid| Process::of("a pod's process", pid)).collect()
}

/// Removes the cgroups of pods that are empty.
pub fn remove() {
    for folder in pods().iter().flat_map(|root| deepest_first(root)) {
        let _ = fs::remove_dir(folder);
    }
}

/// Returns `root` and all folders below it, children before their parents.
fn deepest_first(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = folders(root).iter().flat_map(|folder| deepest_first(folder)).collect();
    found.push(root.to_owned());
    found
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
