//! Finds the cgroups that do not identify the owner of a socket: the root, and that of the service manager, which creates sockets for
//! services.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use longwave_pipeline::component::host;

use super::owner::SharedCgroups;

/// Id of the root cgroup in every kernel.
const ROOT: u64 = 1;

/// Returns the cgroups of the root and of process 1. What cannot be read is left out.
pub fn shared() -> SharedCgroups {
    let mut ids = vec![ROOT];
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if let Some(mount) = mount_point(&mounts) {
        ids.extend(id(&mount));
        let manager = fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
        if let Some(path) = unified(&manager) {
            ids.extend(id(&mount.join(path.trim_start_matches('/'))));
        }
    }
    ids.sort_unstable();
    ids.dedup();
    SharedCgroups(ids)
}

fn id(folder: &Path) -> Option<u64> {
    fs::metadata(folder).ok().map(|metadata| metadata.ino())
}

/// Returns where cgroup2 is mounted. `mounts` is the text of a `mountinfo`.
fn mount_point(mounts: &str) -> Option<PathBuf> {
    host::mounts(mounts).find(|mount| mount.kind == "cgroup2").map(|mount| mount.point)
}

/// Returns the cgroup2 path. `cgroups` is the text of a `/proc/<pid>/cgroup`.
fn unified(cgroups: &str) -> Option<&str> {
    cgroups.lines().find_map(|line| line.strip_prefix("0::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the mount table and cgroup file of a host with cgroup v1 and v2.
    /// Guarantees: the mount and path of cgroup2 are found, not those of a v1 controller.
    #[test]
    fn finds_the_unified_hierarchy() {
        let mounts = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - tmpfs tmpfs rw\n\
                      31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw\n\
                      32 30 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        assert_eq!(mount_point(mounts), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(unified("2:cpu:/x\n0::/init.scope\n"), Some("/init.scope"));
        assert_eq!(mount_point(""), None);
    }
}
