//! [`memory_limit`]: how much memory this process may use. [`resident_memory`]: how much it uses.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::mounts;

/// Returns the bytes of memory that this process may use: the smallest limit of its cgroup and the cgroups above it, but at most the memory of
/// the host. `proc` is the path of `/proc`. `None` if nothing can be read.
pub fn memory_limit(proc: &Path) -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(proc.join(path)).unwrap_or_default();
    let (cgroup, mountinfo) = (read("self/cgroup"), read("self/mountinfo"));
    let limits = limit_files(&cgroup, &mountinfo).into_iter().filter_map(|file| {
        // `max` is not a number and means no limit.
        std::fs::read_to_string(file).ok()?.trim().parse().ok()
    });
    limits.chain(total(&read("meminfo"))).min()
}

/// Returns the files that may contain a limit: those of the process's cgroup and of the cgroups above it, in both versions of cgroups.
fn limit_files(cgroup: &str, mountinfo: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in cgroup.lines() {
        // hierarchy:controllers:path
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let (kind, file) = match controllers {
            "" => ("cgroup2", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => ("cgroup", "memory.limit_in_bytes"),
            _ => continue,
        };
        for mount in mounts(mountinfo).filter(|mount| mount.kind == kind) {
            if kind == "cgroup" && !mount.point.ends_with("memory") {
                continue;
            }
            // In a container the root of the mount is often the container's own part of the tree.
            let below = Path::new(path).strip_prefix(&mount.root).unwrap_or(Path::new(""));
            let own = mount.point.join(below);
            files.extend(
                own.ancestors()
                    .take_while(|above| above.starts_with(&mount.point))
                    .map(|above| above.join(file)),
            );
        }
    }
    files
}

/// Returns the memory of the host, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns the resident memory of this process, in bytes. `proc` is the path of `/proc`. `None` if it cannot be read.
pub fn resident_memory(proc: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(proc.join("self/statm")).ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

/// Function that makes the allocator release free memory. The program sets it, because it selects the allocator.
static MEMORY_RELEASE: OnceLock<fn()> = OnceLock::new();

/// Sets the function that [`release_memory`] calls. Later calls have no effect.
pub fn set_memory_release(release: fn()) {
    // Later values are the same function.
    let _ = MEMORY_RELEASE.set(release);
}

/// Makes the allocator give free memory back to the kernel. Does nothing if the program has not set a function for it.
pub fn release_memory() {
    if let Some(release) = MEMORY_RELEASE.get() {
        release();
    }
}

#[cfg(test)]
mod tests;
